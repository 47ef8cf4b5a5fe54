"""COCO's scores, also where nothing is detected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS


class _Truth(COCO):  # type: ignore[misc]
    """Objects that no detections can be compared with too; pycocotools fails there."""

    def loadRes(self, resFile: Sequence[dict[str, Any]]) -> COCO:  # noqa: N802, N803 (pycocotools' names)
        if resFile:
            return super().loadRes(resFile)
        nothing = COCO()
        nothing.dataset = {**self.dataset, "annotations": []}
        nothing.createIndex()
        return nothing


@METRICS.register_module()
class CompleteCocoMetric(CocoMetric):  # type: ignore[misc]
    """mmdet's CocoMetric, which leaves out no score where nothing is detected: that is 0, not missing.

    As in COCO's own tools, −1 stands where the set has no object of a size.
    """

    _coco_api: COCO

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """As `CocoMetric.compute_metrics`."""
        truth = _Truth()
        truth.dataset = self._coco_api.dataset
        truth.createIndex()
        self._coco_api = truth
        scores: dict[str, float] = super().compute_metrics(results)
        return scores
