"""Proposers by name."""

from __future__ import annotations

from polyp_aug.errors import ConfigurationError
from polyp_aug.proposers.base import Proposer
from polyp_aug.proposers.random import SIZE_RANGE, RandomProposer
from polyp_aug.proposers.reference import ReferenceProposer
from polyp_aug.references import ReferenceBank


def proposer_names() -> tuple[str, ...]:
    """The names that `load_proposer` knows, sorted."""
    return RandomProposer.name, ReferenceProposer.name


def load_proposer(
    name: str, *, references: ReferenceBank | None = None, size_range: tuple[float, float] | None = None
) -> Proposer:
    """A proposer by its name.

    Args:
        name: one of `proposer_names()`.
        references: reference polyps, for the `reference` proposer.
        size_range: for the `random` proposer, see there; None takes its default.

    Raises:
        ConfigurationError: the name is unknown, references are missing, or `size_range` is not valid.
    """
    if name == RandomProposer.name:
        return RandomProposer(size_range=size_range or SIZE_RANGE)
    if name == ReferenceProposer.name:
        if references is None:
            raise ConfigurationError("proposer 'reference' takes real masks: give it a reference data set")
        return ReferenceProposer(references)
    raise ConfigurationError(f"'proposer' must be one of {', '.join(proposer_names())} (got {name!r})")
