"""Transforms for the pipelines of mmdet's data sets."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class NoBorder(BaseTransform):  # type: ignore[misc]
    """State that the picture fills the network's input.

    CenterNet's head subtracts the border that its pipeline added to a picture, and fails where none is stated.

    Required Keys:

    - img_shape

    Added Keys:

    - border (float32 array: top, bottom, left, right edge of the picture in the input, in pixels)
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the border."""
        height, width = results["img_shape"][:2]
        results["border"] = np.array([0, height, 0, width], dtype=np.float32)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
