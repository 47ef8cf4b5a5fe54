"""Polyp-Gen: inpainting with a diffusion model that was trained to paint polyps and to remove them."""

from polyp_aug.synthesizers.diffusion.quiet import quiet
from polyp_aug.synthesizers.options import Sampling

with quiet():
    # transformers announces that it will do without torchvision, which nothing here needs.
    from polyp_aug.synthesizers.polyp_gen.load import load_polyp_gen
    from polyp_aug.synthesizers.polyp_gen.painter import PolypGen
    from polyp_aug.synthesizers.polyp_gen.weights import InpaintingWeights, load_inpainting_weights

__all__ = ["InpaintingWeights", "PolypGen", "Sampling", "load_inpainting_weights", "load_polyp_gen"]
