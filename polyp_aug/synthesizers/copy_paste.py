"""`copy_paste`: a real polyp, moved as it is, with a hard edge: the naive baseline."""

from __future__ import annotations

from collections.abc import Sequence

from polyp_aug.references import ReferenceBank
from polyp_aug.scene import Job, Painted, Rejection
from polyp_aug.synthesizers.base import Capabilities
from polyp_aug.synthesizers.fitting import paint_reference


class CopyPaste:
    """Moves a reference polyp with scale, rotation and flip; its colours stay, nothing is blended.

    Args:
        references: the polyps to draw from.
    """

    name = "copy_paste"
    revision = ""
    capabilities = Capabilities(output="edit", feathered=False)

    def __init__(self, references: ReferenceBank) -> None:
        self.references = references

    def paint(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
        """As `Synthesizer.paint`."""
        return [paint_reference(job, self.references, 0, lambda fitted: fitted.image) for job in jobs]
