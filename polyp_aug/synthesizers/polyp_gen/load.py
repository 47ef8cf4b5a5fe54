"""`polyp_gen` from its options."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import torch

from polyp_aug.errors import ConfigurationError
from polyp_aug.synthesizers.base import Synthesizer
from polyp_aug.synthesizers.options import EMBEDDED_WEIGHTS, PaintingOptions
from polyp_aug.synthesizers.polyp_gen.painter import PolypGen
from polyp_aug.synthesizers.polyp_gen.weights import load_inpainting_weights


def load_polyp_gen(options: PaintingOptions, start: Synthesizer | None = None) -> PolypGen:
    """Load weights and make the painter.

    Args:
        options: see there.
        start: what painting starts from where `strength` is below 1.

    Raises:
        ConfigurationError: the weights can't be loaded, or don't suit the options.
        MissingDependencyError: LoRA weights are given and peft is not installed.
    """
    options = options.resolved()
    if options.base and not options.weights:
        raise ConfigurationError(f"'base' completes 'weights': give those too (got base {options.base!r} alone)")
    weights = load_inpainting_weights(
        options.weights or str(embedded_weights()),
        base=options.base or None,
        lora=options.lora or None,
        device=options.device,
        dtype=getattr(torch, options.dtype),
        channels_last=options.channels_last,
        compiled=options.compile,
        safety_checker=options.safety_checker,
    )
    return PolypGen(
        weights,
        options.sampling,
        mode=options.mode,
        context=options.context,
        size=options.size,
        batch_size=options.batch_size,
        start=start,
    )


def embedded_weights() -> Path:
    """Folder of the pipeline that comes with the package.

    Raises:
        ConfigurationError: this copy of the package has none.
    """
    folder = Path(str(files("polyp_aug"))) / "assets" / EMBEDDED_WEIGHTS
    if not (folder / "model_index.json").is_file():
        raise ConfigurationError(f"this copy of polyp_aug comes without the weights {EMBEDDED_WEIGHTS}: give 'weights'")
    return folder
