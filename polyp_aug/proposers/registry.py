"""Proposers by name."""

from __future__ import annotations

from pathlib import Path

from polyp_aug.errors import ConfigurationError
from polyp_aug.proposers.base import Proposer
from polyp_aug.proposers.random import SIZE_RANGE, RandomProposer
from polyp_aug.proposers.reference import ReferenceProposer
from polyp_aug.references import ReferenceBank

#: Name of the proposer that searches a database of references; its module needs torch.
RETRIEVAL = "retrieval"


def proposer_names() -> tuple[str, ...]:
    """The names that `load_proposer` knows, sorted."""
    return RandomProposer.name, ReferenceProposer.name, RETRIEVAL


def load_proposer(
    name: str,
    *,
    references: ReferenceBank | None = None,
    size_range: tuple[float, float] | None = None,
    database: Path | None = None,
    encoder: str = "",
    device: str = "cpu",
) -> Proposer:
    """A proposer by its name.

    Args:
        name: one of `proposer_names()`.
        references: reference polyps, for the `reference` proposer.
        size_range: for the `random` proposer, see there; None takes its default.
        database: folder of a reference database, for the `retrieval` proposer.
        encoder: the database's encoder, see `load_encoder`; the one that the database names by default.
        device: where the encoder runs.

    Raises:
        ConfigurationError: the name is unknown, references or the database are missing, or a value is not valid.
        DatabaseError: the database is empty, damaged or of another encoder.
        MissingDependencyError: a package that the encoder needs is not installed.
    """
    if name == RandomProposer.name:
        return RandomProposer(size_range=size_range or SIZE_RANGE)
    if name == ReferenceProposer.name:
        if references is None:
            raise ConfigurationError("proposer 'reference' takes real masks: give it a reference data set")
        return ReferenceProposer(references)
    if name == RETRIEVAL:
        if database is None:
            raise ConfigurationError("proposer 'retrieval' searches a reference database: give its folder")
        from polyp_aug.proposers.retrieval.load import load_retrieval

        return load_retrieval(database, encoder=encoder, device=device)
    raise ConfigurationError(f"'proposer' must be one of {', '.join(proposer_names())} (got {name!r})")
