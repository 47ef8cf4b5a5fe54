"""Frames of a video file, decoded by OpenCV."""

from __future__ import annotations

import os
from collections.abc import Iterator

import cv2
import numpy as np

from polyp_aug.errors import ImageError
from polyp_aug.images import MAX_PIXELS, ImageArray


def video_frames(
    path: str | os.PathLike[str], step: int, *, max_pixels: int = MAX_PIXELS
) -> Iterator[tuple[int, ImageArray]]:
    """Every `step`-th frame of a video, from the first on; those between are not decoded to pixels.

    Yields:
        The frame's number, from 0, and uint8 RGB of shape (H, W, 3).

    Raises:
        ImageError: the file can't be opened as a video, holds no frame, or has frames of more than `max_pixels` pixels.
    """
    capture = cv2.VideoCapture(os.fspath(path))
    try:
        width, height = (int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > max_pixels:
            raise ImageError(f"{path}: frames of {width}×{height} pixels, more than the limit of {max_pixels:,}")
        number = 0
        while capture.grab():
            if number % step == 0:
                decoded, bgr = capture.retrieve()
                if not decoded:
                    raise ImageError(f"{path}: frame {number} can't be decoded")
                yield number, np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            number += 1
        if number == 0:
            raise ImageError(f"{path}: can't be read as a video")
    finally:
        capture.release()
