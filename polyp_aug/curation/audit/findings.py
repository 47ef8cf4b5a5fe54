"""What an audit finds: one thing of an evaluation set that another set holds too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from polyp_aug.evaluation.crops import PolypCrop

#: How something was found, the surest first: by what the records say, by equal pixels, by looks.
Level = Literal["split", "origin", "pixels", "hash", "features"]
LEVELS: tuple[Level, ...] = ("split", "origin", "pixels", "hash", "features")


@dataclass(frozen=True)
class Finding:
    """A leak.

    Attributes:
        level: how it was found.
        what: "frame" or "polyp", or how it was used: "background" or "reference".
        evaluation_set: name of the set; "" where only a split is known.
        evaluation_item: file of the frame, with the annotation's id for a polyp; or what the records share.
        evaluation_group: its patient or sequence, "" where it has none.
        other_set: name of the set that holds it too.
        other_item: file of the frame there.
        other_group: its patient or sequence.
        detail: how near, for people.
        distance: bits or 1 − cosine; None where the level has none.
        pair: where both are cut out, for the sheet.
    """

    level: Level
    what: str
    evaluation_set: str
    evaluation_item: str
    evaluation_group: str
    other_set: str
    other_item: str
    other_group: str
    detail: str
    distance: float | None = None
    pair: tuple[PolypCrop, PolypCrop] | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        names = ("level", "what", "evaluation_set", "evaluation_item", "evaluation_group")
        others = ("other_set", "other_item", "other_group", "detail")
        return {name: getattr(self, name) for name in (*names, *others)} | (
            {} if self.distance is None else {"distance": float(f"{self.distance:.6g}")}
        )
