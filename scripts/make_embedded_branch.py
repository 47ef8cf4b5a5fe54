"""Write `assets/ccis_diff_mini`: what a trained pipeline of CCIS-Diff has beyond the package's inpainting pipeline.

UNet, autoencoder and scheduler are those of `assets/polyp_gen_mini`, which must be the trained pipeline's own; control
branch, text encoder and tokenizer are written in half precision.

Usage: make_embedded_branch.py PIPELINE OUT
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import diffusers
import torch
from torch import nn

from polyp_aug.errors import ConfigurationError
from polyp_aug.images import write_bytes
from polyp_aug.synthesizers.ccis_diff.weights import BranchSettings, load_ccis_weights
from polyp_aug.synthesizers.polyp_gen.load import embedded_weights
from polyp_aug.training.folder import publish

_CLASSES = {
    "controlnet": ("polyp_aug.synthesizers.ccis_diff.control_net", "CCISControlNet"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
}


def check_same(name: str, first: nn.Module, second: nn.Module) -> None:
    """Raise `ConfigurationError` where two networks differ by more than half precision's rounding."""
    theirs = second.state_dict()
    for key, values in first.state_dict().items():
        if not torch.equal(values.half(), theirs[key].half()):
            raise ConfigurationError(f"{name} is not the package's own: {key} differs")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    trained = load_ccis_weights(str(options.pipeline)).pipeline
    own = load_ccis_weights(str(embedded_weights()), branch=BranchSettings()).pipeline
    for name in ("unet", "vae"):
        check_same(name, getattr(trained, name), getattr(own, name))
    for name in _CLASSES:
        part = getattr(trained, name)
        (part.half() if isinstance(part, nn.Module) else part).save_pretrained(options.out / name)
    index = {"_class_name": "CCISDiffPipeline", "_diffusers_version": diffusers.__version__, **_CLASSES}
    write_bytes(options.out / "model_index.json", (json.dumps(index, indent=2) + "\n").encode())
    publish(options.out)


if __name__ == "__main__":
    main()
