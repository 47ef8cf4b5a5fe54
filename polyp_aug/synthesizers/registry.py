"""The single door to synthesizers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from polyp_aug.errors import ConfigurationError
from polyp_aug.optional import require
from polyp_aug.references import ReferenceBank
from polyp_aug.synthesizers.base import Synthesizer
from polyp_aug.synthesizers.copy_paste import CopyPaste
from polyp_aug.synthesizers.frame_options import FrameOptions
from polyp_aug.synthesizers.options import PaintingOptions
from polyp_aug.synthesizers.transplant import Transplant

#: Synthesizers that work with reference polyps and without weights.
REFERENCE_SYNTHESIZERS: Mapping[str, Callable[[ReferenceBank], Synthesizer]] = {
    "copy_paste": CopyPaste,
    "transplant": Transplant,
}

#: The synthesizer that paints with a diffusion model.
POLYP_GEN = "polyp_gen"

#: The synthesizer that makes whole frames with a diffusion model.
CCIS_DIFF = "ccis_diff"

#: What painting with `strength` below 1 starts from.
START = "transplant"


def synthesizer_names() -> tuple[str, ...]:
    """The names of the synthesizers that paint into frames, sorted."""
    return tuple(sorted((*REFERENCE_SYNTHESIZERS, POLYP_GEN)))


def makes_frames(text: str) -> bool:
    """Whether what a user named makes whole frames: `ccis_diff`, or a folder of weights with a control branch."""
    if text == CCIS_DIFF:
        return True
    try:
        index = json.loads((Path(text) / "model_index.json").read_bytes()) if text else {}
    except (OSError, ValueError):
        return False
    return isinstance(index, dict) and "controlnet" in index


def parse_synthesizer(text: str) -> tuple[str, str]:
    """What a user named: a synthesizer, or the weights of one.

    Args:
        text: one of `synthesizer_names()`, or inpainting weights: a folder, a file or a hub id.

    Returns:
        Name of the synthesizer, and the weights where `text` is those, else "".

    Raises:
        ConfigurationError: it is neither, or makes whole frames.
    """
    if makes_frames(text):
        raise ConfigurationError(f"'synthesizer' {text!r} makes whole frames, expected one that paints into frames")
    if text in synthesizer_names():
        return text, ""
    if text and ("/" in text or Path(text).exists()):
        return POLYP_GEN, text
    known = ", ".join(synthesizer_names())
    raise ConfigurationError(
        f"'synthesizer' must be one of {known}, or a folder, file or hub id of weights (got {text!r})"
    )


def load_synthesizer(
    name: str,
    *,
    references: ReferenceBank | None = None,
    options: PaintingOptions | None = None,
    frame_options: FrameOptions | None = None,
) -> Synthesizer:
    """A synthesizer by its name, or by the weights that it paints with.

    Args:
        name: one of `synthesizer_names()`; a folder, a file or a pinned hub id `org/name@commit` is `polyp_gen` with
            those weights. `ccis_diff`, and a folder of weights with a control branch, make whole frames.
        references: reference polyps, for those that move real polyps, and for painting that starts from a transplant
            (`strength` below 1).
        options: for `polyp_gen` only; None takes the defaults.
        frame_options: for `ccis_diff` only; None takes the defaults.

    Raises:
        ConfigurationError: the name is unknown, references are missing, options are given to a synthesizer that reads
            none, or the weights can't be loaded.
        MissingDependencyError: a package that a diffusion model needs is not installed.
    """
    if makes_frames(name):
        return _load_frame_synthesizer(name, references, options, frame_options or FrameOptions())
    if frame_options is not None:
        raise ConfigurationError(f"'frame_options' are for {CCIS_DIFF} (got synthesizer {name!r} with them)")
    name, weights = parse_synthesizer(name)
    if name != POLYP_GEN:
        if options is not None:
            raise ConfigurationError(f"'options' are for {POLYP_GEN} (got synthesizer {name!r} with them)")
        if references is None:
            raise ConfigurationError(f"synthesizer {name!r} moves real polyps: give it a reference data set")
        return REFERENCE_SYNTHESIZERS[name](references)
    options = options_with_weights(options or PaintingOptions(), weights)
    start: Synthesizer | None = None
    if options.strength < 1.0:
        if references is None:
            raise ConfigurationError(
                f"'strength' below 1 starts from a {START}: give a reference data set (got {options.strength})"
            )
        start = REFERENCE_SYNTHESIZERS[START](references)
    _require_diffusion()
    from polyp_aug.synthesizers.polyp_gen import load_polyp_gen

    return load_polyp_gen(options, start)


def _load_frame_synthesizer(
    name: str, references: ReferenceBank | None, options: PaintingOptions | None, frame_options: FrameOptions
) -> Synthesizer:
    if options is not None or references is not None:
        given = "options" if options is not None else "references"
        raise ConfigurationError(f"'{given}' are for synthesizers that paint into frames (got {name!r} with them)")
    if name != CCIS_DIFF:
        if frame_options.weights:
            raise ConfigurationError(
                f"weights are given twice: as the synthesizer {name!r} and as 'weights' {frame_options.weights!r}"
            )
        frame_options = replace(frame_options, weights=name)
    _require_diffusion()
    from polyp_aug.synthesizers.ccis_diff.painter import load_ccis_diff

    return load_ccis_diff(frame_options)


def _require_diffusion() -> None:
    for module in ("torch", "diffusers", "transformers"):
        require(module, "diffusion")


def options_with_weights(options: PaintingOptions, weights: str) -> PaintingOptions:
    """Options with the weights that the synthesizer's name gave, if it gave any.

    Raises:
        ConfigurationError: the options name other weights already.
    """
    if weights and options.weights:
        raise ConfigurationError(
            f"weights are given twice: as the synthesizer {weights!r} and as 'weights' {options.weights!r}"
        )
    return replace(options, weights=weights) if weights else options
