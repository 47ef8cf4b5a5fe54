"""The `retrieval` proposer from a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polyp_aug.database.folder import ReferenceDatabase
from polyp_aug.encoders.registry import load_encoder
from polyp_aug.errors import DatabaseError
from polyp_aug.proposers.retrieval.proposer import RetrievalProposer
from polyp_aug.proposers.retrieval.settings import RetrievalSettings


def load_retrieval(
    path: Path,
    *,
    encoder: str = "",
    device: str = "cpu",
    splits: Sequence[str] | None = None,
    settings: RetrievalSettings | None = None,
) -> RetrievalProposer:
    """Open a database, and load the encoder that it was made with.

    Args:
        path: folder of the database.
        encoder: see `load_encoder`; the one that the database names by default.
        device: where the encoder runs.
        splits: see `ReferenceDatabase`.
        settings: see `RetrievalSettings`.

    Raises:
        DatabaseError: it is no database, is damaged or of another encoder, or was made with one that it can't name.
        ConfigurationError: the encoder can't be loaded.
        MissingDependencyError: a package is not installed.
    """
    database = ReferenceDatabase(path, splits=splits)
    weights = encoder or database.info.weights
    if not weights:
        raise DatabaseError(f"{path}: made with {database.info.encoder} weights in a folder: give that as 'encoder'")
    loaded = load_encoder(weights, side=database.info.side, device=device)
    return RetrievalProposer(database, loaded, settings)
