"""The single door to synthesizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from polyp_aug.errors import ConfigurationError
from polyp_aug.references import ReferenceBank
from polyp_aug.synthesizers.base import Synthesizer
from polyp_aug.synthesizers.copy_paste import CopyPaste
from polyp_aug.synthesizers.transplant import Transplant

#: Synthesizers that work with reference polyps and without weights.
REFERENCE_SYNTHESIZERS: Mapping[str, Callable[[ReferenceBank], Synthesizer]] = {
    "copy_paste": CopyPaste,
    "transplant": Transplant,
}


def synthesizer_names() -> tuple[str, ...]:
    """The names that `load_synthesizer` knows, sorted."""
    return tuple(sorted(REFERENCE_SYNTHESIZERS))


def load_synthesizer(name: str, *, references: ReferenceBank | None = None) -> Synthesizer:
    """A synthesizer by its name.

    Args:
        name: one of `synthesizer_names()`.
        references: reference polyps, for those that move real polyps.

    Raises:
        ConfigurationError: the name is unknown, or references are missing.
    """
    factory = REFERENCE_SYNTHESIZERS.get(name)
    if factory is None:
        raise ConfigurationError(f"'synthesizer' must be one of {', '.join(synthesizer_names())} (got {name!r})")
    if references is None:
        raise ConfigurationError(f"synthesizer {name!r} moves real polyps: give it a reference data set")
    return factory(references)
