"""The proposers that a placement report compares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polyp_aug.coco import read_coco
from polyp_aug.coco.read import annotations_file
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.centre import CentreProposer
from polyp_aug.evaluation.placement import Compared, Places
from polyp_aug.evaluation.report import digest_of
from polyp_aug.geometry import Box
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key
from polyp_aug.proposers.base import Proposer
from polyp_aug.proposers.random import RandomProposer
from polyp_aug.proposers.reference import ReferenceProposer
from polyp_aug.proposers.registry import RETRIEVAL
from polyp_aug.references import ReferenceBank
from polyp_aug.scene import Placement

if TYPE_CHECKING:
    from polyp_aug.proposers.retrieval.proposer import RetrievalProposer

#: What can be compared.
NAMES = (RandomProposer.name, CentreProposer.name, ReferenceProposer.name, RETRIEVAL)


def load_compared(
    names: Sequence[str] = (),
    *,
    references: Path | None = None,
    database: Path | None = None,
    encoder: str = "",
    device: str = "cpu",
) -> Compared:
    """Load proposers by their names; `retrieval` twice, with the sizes of references and of clusters.

    Args:
        names: of `NAMES`; all that the inputs allow where it is empty.
        references: COCO set of real polyps with masks, for `reference`.
        database: reference database, for `retrieval`.
        encoder: the database's encoder, see `load_retrieval`.
        device: where the encoder runs.

    Raises:
        ConfigurationError: a name is unknown, its input is missing, or an input is given that no proposer takes.
        CocoError: the COCO file breaks the format.
        DatabaseError: the database is empty, damaged or of another encoder.
        MissingDependencyError: a package that the encoder needs is not installed.
    """
    inputs = {ReferenceProposer.name: references, RETRIEVAL: database}
    wanted = [name for name in NAMES if (name in names if names else inputs.get(name, True) is not None)]
    if unknown := [name for name in names if name not in NAMES]:
        raise ConfigurationError(f"'proposer' must be one of {', '.join(NAMES)} (got {', '.join(unknown)})")
    for (name, path), what in zip(inputs.items(), ("a reference data set", "a reference database"), strict=True):
        if (name in wanted) != (path is not None):
            raise ConfigurationError(f"the proposer {name!r} needs {what}, and nothing else does (got {path})")
    if encoder and database is None:
        raise ConfigurationError(f"'encoder' is for 'database' (got {encoder!r} alone)")
    compared = Compared()
    for proposer in (RandomProposer(), CentreProposer()):
        if proposer.name in wanted:
            compared.proposers[proposer.name] = asked_again(proposer)
    if references is not None:
        bank = ReferenceBank(read_coco(references))
        compared.proposers[ReferenceProposer.name] = asked_again(ReferenceProposer(bank))
        compared.facts["references"] = {
            "annotations_sha256": digest_of([annotations_file(references)]),
            "polyps": len(bank),
        }
        compared.sources += [polyp.source for polyp in bank.polyps]
    if database is not None:
        _add_retrieval(compared, database, encoder, device)
    return compared


def asked_again(proposer: Proposer) -> Places:
    """A proposer as `Places`: asked anew by each key."""

    def places(image: ImageArray, count: int, keys: Sequence[Key], occupied: Sequence[Box]) -> list[list[Placement]]:
        return [proposer.propose(image, count, key, occupied) for key in keys]

    return places


def retrieved_once(proposer: RetrievalProposer) -> Places:
    """The `retrieval` proposer as `Places`: a frame is encoded and matched once for all keys."""

    def places(image: ImageArray, count: int, keys: Sequence[Key], occupied: Sequence[Box]) -> list[list[Placement]]:
        if min(image.shape[:2]) < proposer.encoder.patch:
            return [[] for _ in keys]
        retrieval = proposer.retrieve([image])[0]
        return [proposer.place(retrieval, count, key, occupied) for key in keys]

    return places


def _add_retrieval(compared: Compared, path: Path, encoder: str, device: str) -> None:
    from polyp_aug.database.identity import digest_database
    from polyp_aug.proposers.retrieval.load import load_retrieval
    from polyp_aug.proposers.retrieval.proposer import RetrievalProposer
    from polyp_aug.proposers.retrieval.settings import RetrievalSettings

    first = load_retrieval(path, encoder=encoder, device=device)
    database = first.database
    variants = {extent: RetrievalSettings(extent=extent) for extent in ("reference", "cluster")}
    for extent, settings in variants.items():
        proposer = RetrievalProposer(database, first.encoder, settings)
        compared.proposers[f"{RETRIEVAL} ({extent})"] = retrieved_once(proposer)
    compared.facts["database"] = {
        "sha256": digest_database(path),
        **database.info.to_dict(),
        "references": len(database),
        "withheld": database.withheld,
        "settings": {extent: settings.to_dict() for extent, settings in variants.items()},
    }
    compared.sources += [item.source for item in database.references]
