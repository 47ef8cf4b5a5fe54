"""Assembles the pipeline that comes with the package: two trainings' UNets averaged, and a decoder trained on later.

    make_embedded_pipeline.py FIRST SECOND VAE OUT [--share 0.4]

FIRST and SECOND are pipelines of one form; `--share` is the weight of the first one's UNet in the average. VAE is an
autoencoder with the encoder of theirs, as `polyp-aug train autoencoder --decoder-only` leaves it. The rest comes from
SECOND. Weights are written in half precision.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderTiny

from polyp_aug.synthesizers.diffusion.quiet import quiet
from polyp_aug.synthesizers.polyp_gen.weights import load_inpainting_weights
from polyp_aug.training.folder import publish


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("first", "second", "vae", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--share", type=float, default=0.4)
    options = parser.parse_args()
    first, second = (load_inpainting_weights(str(path)).pipeline for path in (options.first, options.second))
    with quiet():
        vae = AutoencoderTiny.from_pretrained(options.vae, use_safetensors=True, dtype=torch.float32)
    own = second.vae.encoder.state_dict()
    if any(not torch.equal(values, own[name]) for name, values in vae.encoder.state_dict().items()):
        parser.error(f"{options.vae}: has another encoder than {options.second}, whose latents the UNet knows")
    others = first.unet.state_dict()
    with torch.no_grad():
        for name, values in second.unet.state_dict().items():
            values.lerp_(others[name], options.share)
    second.vae = vae
    with quiet():
        second.to(torch.float16)
        second.save_pretrained(options.out)
    publish(options.out)


if __name__ == "__main__":
    main()
