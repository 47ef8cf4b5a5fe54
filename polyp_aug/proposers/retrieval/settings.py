"""Settings of the `retrieval` proposer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from polyp_aug.database.search import SEARCHES
from polyp_aug.errors import ConfigurationError
from polyp_aug.proposers.retrieval.matching import DIRECTIONS, Direction

#: What a proposal's size is taken from: the rectangle around the matches (the paper), or the reference polyp.
Extent = Literal["cluster", "reference"]
EXTENTS: tuple[Extent, ...] = ("cluster", "reference")


@dataclass(frozen=True)
class RetrievalSettings:
    """How references are found and matched. The defaults are the paper's where it says something.

    Attributes:
        candidates: K, references whose global feature is nearest.
        direction: from where matches are sought; see `matching.Direction`.
        closest: matches that are kept of each candidate.
        radius: ε of DBSCAN in patches; one pixel is added, as in the paper: ε = 2 P + 1.
        least: matches within ε that make a patch part of a cluster's core.
        extent: what a proposal's size is taken from; see `Extent`.
        on_mucosa: match only patches of the frame that show mucosa for the larger part, not position boxes or borders.
        temperature: how much chance there is in the order of proposals: 0 always takes the best first; the larger, the
            more places one frame is given over many draws.
        search: "exact" or "faiss".

    Raises:
        ConfigurationError: a value is out of its range.
    """

    candidates: int = 8
    direction: Direction = "reference_to_query"
    closest: int = 30
    radius: float = 2.0
    least: int = 1
    extent: Extent = "reference"
    on_mucosa: bool = True
    temperature: float = 0.3
    search: str = "exact"

    def __post_init__(self) -> None:
        for name in ("candidates", "closest", "least"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name!r} must be at least 1 (got {getattr(self, name)})")
        for name in ("radius", "temperature"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name!r} must not be negative (got {getattr(self, name)})")
        for name, known in (("direction", DIRECTIONS), ("extent", EXTENTS), ("search", SEARCHES)):
            if getattr(self, name) not in known:
                raise ConfigurationError(f"{name!r} must be one of {', '.join(known)} (got {getattr(self, name)!r})")

    @classmethod
    def published(cls) -> RetrievalSettings:
        """What the authors' code does: one reference, matched from the frame's side, anywhere, the largest cluster."""
        return cls(candidates=1, direction="query_to_reference", extent="cluster", on_mucosa=False, temperature=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
