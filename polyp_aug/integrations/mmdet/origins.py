"""`OriginCocoDataset`: a COCO set whose frames know whether they are synthetic."""

from __future__ import annotations

from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS


@DATASETS.register_module()
class OriginCocoDataset(CocoDataset):  # type: ignore[misc]
    """mmdet's `CocoDataset`, whose frames carry `synthetic` into the pipeline.

    A frame is synthetic if it holds an object whose annotation has `"origin": "synthetic"`, as those that polyp-aug
    painted. A frame from which polyps were only removed is not. `PackDetInputs` hands it on to the detector where its
    `meta_keys` name it.
    """

    def parse_data_info(self, raw_data_info: dict[str, Any]) -> dict[str, Any]:
        """What mmdet reads of a frame, and whether it is synthetic."""
        info: dict[str, Any] = super().parse_data_info(raw_data_info)
        info["synthetic"] = any(item.get("origin") == "synthetic" for item in raw_data_info["raw_ann_info"])
        return info
