"""The contract of a synthesizer: what is painted?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from polyp_aug.scene import Job, Painted, Rejection


@dataclass(frozen=True)
class Capabilities:
    """What a synthesizer can do and needs.

    Attributes:
        output: "edit" repaints a part of a frame; "frame" makes a whole frame from a mask.
        feathered: whether composition gives its result a soft edge.
        needs_text: whether the prompt matters.
        removes: whether the prompt "Normal" gives mucosa without a polyp.
        native_size: side in pixels of the picture that its model works on, or None where any size will do.
        margin: pixels, in a frame whose longer side has 512, around a place that it repaints too, and leaves mucosa.
    """

    output: Literal["edit", "frame"]
    feathered: bool
    needs_text: bool = False
    removes: bool = False
    native_size: int | None = None
    margin: float = 0.0


class Synthesizer(Protocol):
    """Paints polyps. It neither chooses places, nor composes, nor touches files."""

    @property
    def name(self) -> str:
        """The name it is registered under."""

    @property
    def revision(self) -> str:
        """What identifies its weights, or "" where it has none."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do and needs."""

    def paint(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
        """Paint a batch of jobs of one frame size.

        The result of a job depends on the job alone, not on the others of its batch.

        Returns:
            A result for every job, in order: a picture of the job's size, of which only the box of the job's region and
            the feather around it are used, or the reason why there is none.
        """


def paint_by_size(synthesizer: Synthesizer, jobs: Sequence[Job]) -> list[Painted | Rejection]:
    """Results of jobs in their order; each frame size is one batch for the synthesizer."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, job in enumerate(jobs):
        groups.setdefault(job.image.shape, []).append(index)
    results: dict[int, Painted | Rejection] = {}
    for indices in groups.values():
        painted = synthesizer.paint([jobs[index] for index in indices])
        results.update(zip(indices, painted, strict=True))
    return [results[index] for index in range(len(jobs))]
