"""`copy_paste`: a real polyp, moved as it is, with a hard edge: the naive baseline."""

from __future__ import annotations

from collections.abc import Sequence

from polyp_aug.errors import SynthesisError
from polyp_aug.references import ReferenceBank
from polyp_aug.scene import Job, Painted, Rejection
from polyp_aug.synthesizers.base import Capabilities
from polyp_aug.synthesizers.fitting import fit_reference


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
        return [self._paint(job) for job in jobs]

    def _paint(self, job: Job) -> Painted | Rejection:
        try:
            fitted = fit_reference(job, self.references, ring=0)
        except SynthesisError as error:
            return Rejection(str(error))
        x, y, w, h = fitted.box
        image = job.image.copy()
        image[y : y + h, x : x + w] = fitted.image
        details = {"reference": fitted.polyp.id, "reference_source": fitted.polyp.source.to_dict(), **fitted.transform}
        return Painted(image, fitted.region, fitted.polyp.category, details)
