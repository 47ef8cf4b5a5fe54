"""The single door to synthesizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from polyp_aug.errors import ConfigurationError
from polyp_aug.optional import require
from polyp_aug.references import ReferenceBank
from polyp_aug.synthesizers.base import Synthesizer
from polyp_aug.synthesizers.copy_paste import CopyPaste
from polyp_aug.synthesizers.options import PaintingOptions
from polyp_aug.synthesizers.transplant import Transplant

#: Synthesizers that work with reference polyps and without weights.
REFERENCE_SYNTHESIZERS: Mapping[str, Callable[[ReferenceBank], Synthesizer]] = {
    "copy_paste": CopyPaste,
    "transplant": Transplant,
}

#: The synthesizer that paints with a diffusion model.
POLYP_GEN = "polyp_gen"

#: What painting with `strength` below 1 starts from.
START = "transplant"


def synthesizer_names() -> tuple[str, ...]:
    """The names that `load_synthesizer` knows, sorted."""
    return tuple(sorted((*REFERENCE_SYNTHESIZERS, POLYP_GEN)))


def parse_synthesizer(text: str) -> tuple[str, str]:
    """What a user named: a synthesizer, or the weights of one.

    Args:
        text: one of `synthesizer_names()`, or inpainting weights: a folder, a file or a hub id.

    Returns:
        Name of the synthesizer, and the weights where `text` is those, else "".

    Raises:
        ConfigurationError: it is neither.
    """
    if text in synthesizer_names():
        return text, ""
    if text and ("/" in text or Path(text).exists()):
        return POLYP_GEN, text
    known = ", ".join(synthesizer_names())
    raise ConfigurationError(
        f"'synthesizer' must be one of {known}, or a folder, file or hub id of weights (got {text!r})"
    )


def load_synthesizer(
    name: str, *, references: ReferenceBank | None = None, options: PaintingOptions | None = None
) -> Synthesizer:
    """A synthesizer by its name, or by the weights that it paints with.

    Args:
        name: one of `synthesizer_names()`; a folder, a file or a pinned hub id `org/name@commit` is `polyp_gen` with
            those weights.
        references: reference polyps, for those that move real polyps, and for painting that starts from a transplant
            (`strength` below 1).
        options: for `polyp_gen` only; None takes the defaults.

    Raises:
        ConfigurationError: the name is unknown, references are missing, options are given to a synthesizer that reads
            none, or the weights can't be loaded.
        MissingDependencyError: a package that `polyp_gen` needs is not installed.
    """
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
    for module in ("torch", "diffusers", "transformers"):
        require(module, "diffusion")
    from polyp_aug.synthesizers.polyp_gen import load_polyp_gen

    return load_polyp_gen(options, start)


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
