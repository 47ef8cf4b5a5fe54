"""Pictures that look and weigh the same whatever they come from: one size, one quality, one length, no metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from polyp_aug.coco import decode_segmentation, encode_rle
from polyp_aug.errors import ConfigurationError, ImageError
from polyp_aug.generation.outlines import svg_path
from polyp_aug.geometry import Region, squeezed_mask
from polyp_aug.images import ImageArray, MaskArray, read_image
from polyp_aug.keys import Key
from polyp_aug.reader_study.sources import Candidate

#: How a frame becomes a square: as a whole, whatever its shape, or the largest square in its middle.
Fit = Literal["squeeze", "crop"]

#: Most pixels of a side where nothing else is said.
LARGEST = 512

#: Smallest side that can be judged, in pixels.
SMALLEST = 64

# A JPEG comment: two bytes of marker, two bytes of length (which count themselves), at most 65,533 bytes of text.
_MARKER = b"\xff\xfe"
_OVERHEAD = 4
_LONGEST = 65_533


def common_size(candidates: Sequence[Candidate]) -> int:
    """The shortest side of all frames in pixels, at most `LARGEST`: at this size none is enlarged."""
    return min(LARGEST, *(min(item.width, item.height) for item in candidates))


def shown_picture(candidate: Candidate, size: int, fit: Fit) -> ImageArray:
    """A frame as readers see it before encoding: uint8 RGB (size, size, 3), by area averaging.

    Raises:
        ImageError: it can't be read, or has another size than its record says.
    """
    image = read_image(candidate.file)
    if image.shape[:2] != (candidate.height, candidate.width):
        raise ImageError(
            f"{candidate.file}: {image.shape[1]}×{image.shape[0]} pixels, expected {candidate.width}×{candidate.height}"
        )
    x, y, width, height = _window(candidate, fit)
    part = image[y : y + height, x : x + width]
    return np.asarray(cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def shown_outline(candidate: Candidate, size: int, fit: Fit) -> str:
    """The outline of all objects as the data of an SVG path in pixels of the shown picture; "" where none is seen.

    It is traced from the pixels of the small mask, so that polygons of people and of programs look alike.
    """
    x, y, width, height = _window(candidate, fit)
    mask: MaskArray = np.zeros((candidate.height, candidate.width), dtype=np.bool_)
    for segmentation in candidate.segmentations:
        mask |= decode_segmentation(segmentation, candidate.width, candidate.height)
    region = Region.from_mask(squeezed_mask(np.ascontiguousarray(mask[y : y + height, x : x + width]), size))
    return "" if region is None else svg_path(encode_rle(region, size, size), size, size)


def encode_jpeg(image: ImageArray, quality: int) -> bytes:
    """A baseline JPEG without metadata.

    Args:
        image: uint8 RGB (H, W, 3).
        quality: from 1 to 100, libjpeg's.

    Raises:
        ConfigurationError: the quality is out of range.
    """
    if not 1 <= quality <= 100:
        raise ConfigurationError(f"'quality' must be from 1 to 100 (got {quality})")
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def of_equal_length(pictures: Sequence[bytes], keys: Sequence[Key]) -> list[bytes]:
    """JPEG files of one length: comments of random bytes are put in behind the header.

    Smooth pictures are smaller files, and synthetic ones are often smooth. Lists of sizes, and the length of the
    base64 text, are the same for all now. What the comment hides can still be computed from the pixels; but then a
    program looks, not a reader.

    Args:
        pictures: files of `encode_jpeg`, at least one.
        keys: of each, for its random bytes.
    """
    longest = max(map(len, pictures)) + _OVERHEAD
    return [_padded(data, longest - len(data), key) for data, key in zip(pictures, keys, strict=True)]


def _window(candidate: Candidate, fit: Fit) -> tuple[int, int, int, int]:
    """The part of a frame that is shown, xywh."""
    width, height = candidate.width, candidate.height
    if fit == "squeeze":
        return 0, 0, width, height
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side


def _padded(data: bytes, missing: int, key: Key) -> bytes:
    # The JFIF segment must be the first one: two bytes of marker, then its length.
    start = 4 + int.from_bytes(data[4:6], "big")
    noise = key.generator("reader study padding").bytes(missing)
    comments = []
    while missing:
        part = min(missing, _LONGEST + _OVERHEAD)
        # No comment can be shorter than its own overhead.
        if 0 < missing - part < _OVERHEAD:
            part -= _OVERHEAD
        comments.append(_MARKER + (part - 2).to_bytes(2, "big") + noise[: part - _OVERHEAD])
        noise, missing = noise[part - _OVERHEAD :], missing - part
    return data[:start] + b"".join(comments) + data[start:]
