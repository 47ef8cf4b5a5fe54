"""What became of a prepared data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: How many skipped files the summary names; the report file names all.
_NAMED = 5


@dataclass(frozen=True)
class SkippedFrame:
    """A published file that is not in the output.

    Attributes:
        name: the source file, relative to the source folder, POSIX form.
        reason: why, with file names relative to the source folder.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class PrepareReport:
    """Counts of what was written, and what was left out.

    Attributes:
        dataset: name of the layout.
        images: number of pictures written.
        polyp_images: pictures with at least one annotation.
        annotations: number of annotations.
        groups: number of different groups.
        splits: pictures by split, "" where the data set has none.
        licences: names, in order of their ids.
        skipped: in the order of the source.
    """

    dataset: str
    images: int
    polyp_images: int
    annotations: int
    groups: int
    splits: Mapping[str, int]
    licences: tuple[str, ...]
    skipped: tuple[SkippedFrame, ...]

    @property
    def normal_images(self) -> int:
        """Pictures without annotations."""
        return self.images - self.polyp_images

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "dataset": self.dataset,
            "images": self.images,
            "polyp_images": self.polyp_images,
            "normal_images": self.normal_images,
            "annotations": self.annotations,
            "groups": self.groups,
            "splits": dict(sorted(self.splits.items())),
            "licences": list(self.licences),
            "skipped": [{"name": entry.name, "reason": entry.reason} for entry in self.skipped],
        }

    def summary(self) -> str:
        """A few lines of text for a terminal."""
        lines = [
            f"{self.dataset}: {self.images} images ({self.polyp_images} with polyps, {self.normal_images} without), "
            f"{self.annotations} annotations, {self.groups} groups"
        ]
        if any(self.splits):
            lines.append("splits: " + ", ".join(f"{name or 'none'} {n}" for name, n in sorted(self.splits.items())))
        lines.append("licences: " + "; ".join(self.licences))
        if self.skipped:
            lines.append(f"skipped: {len(self.skipped)}")
            lines += [f"  {entry.name}: {entry.reason}" for entry in self.skipped[:_NAMED]]
        if len(self.skipped) > _NAMED:
            lines.append(f"  … and {len(self.skipped) - _NAMED} more, see prepare_report.json")
        return "\n".join(lines)


def count_splits(splits: list[str]) -> dict[str, int]:
    """Number of pictures by split, sorted by name."""
    return dict(sorted(Counter(splits).items()))
