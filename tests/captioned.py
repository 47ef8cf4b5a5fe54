"""What the tests of CCIS-Diff share: captions of the phantoms, and tiny weights with a control branch."""

from __future__ import annotations

from pathlib import Path

import tiny_diffusion
import torch
from conftest import Phantoms

from polyp_aug.captions.dataset import caption_dataset
from polyp_aug.captions.template import TemplateWriter
from polyp_aug.synthesizers.ccis_diff.weights import BranchSettings, load_ccis_weights


def write_phantom_captions(phantoms: Phantoms, folder: Path) -> Path:
    """Captions of the phantoms with polyps, by templates."""
    return caption_dataset(phantoms.references, TemplateWriter(), folder / "captions.jsonl").file


def save_tiny(folder: Path) -> Path:
    """A tiny inpainting pipeline with a control branch that changes what it paints."""
    inpainting = folder / "inpainting"
    tiny_diffusion.pipeline().save_pretrained(inpainting)
    pipeline = load_ccis_weights(str(inpainting), branch=BranchSettings()).pipeline
    wake(pipeline.controlnet)
    pipeline.save_pretrained(folder / "whole")
    return folder / "whole"


def wake(model: torch.nn.Module) -> None:
    """Let layers that begin at zero do something."""
    torch.manual_seed(4)
    with torch.no_grad():
        for weights in model.parameters():
            if not weights.any():
                weights.normal_(0.0, 0.02)
