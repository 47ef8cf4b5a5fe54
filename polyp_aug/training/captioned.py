"""Training examples of CCIS-Diff: a whole frame, the mask of its polyps, and its caption.

Example number i is the same in every process, epoch and order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from polyp_aug.captions.dataset import captions_file, read_captions
from polyp_aug.coco import decode_segmentation, read_coco, resolve_image
from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import squeezed_mask
from polyp_aug.images import read_image
from polyp_aug.keys import Key
from polyp_aug.synthesizers.ccis_diff.prompts import mirrored
from polyp_aug.training.frames import Frame, digest_frames

#: Ways to mirror a frame: not, across, upside down, both.
MIRRORS = 4


@dataclass(frozen=True)
class CaptionedFrame:
    """A frame with the masks of its polyps, and what is said of it.

    Attributes:
        frame: the picture and its polyps.
        caption: the prompt.
    """

    frame: Frame
    caption: str


def read_captioned_frames(sources: Sequence[Path], captions: Sequence[Path] = ()) -> list[CaptionedFrame]:
    """The frames of COCO data sets that have a caption, in a fixed order.

    Args:
        sources: COCO files, or folders with `annotations.json`.
        captions: caption files of the sources, in their order; none takes those that stand beside them.

    Raises:
        ConfigurationError: numbers of sources and caption files differ, a caption file is missing or of another set, or
            there is no frame with a caption.
        CocoError: a COCO file breaks the format.
    """
    if captions and len(captions) != len(sources):
        raise ConfigurationError(f"{len(captions)} caption files for {len(sources)} data sets, expected one for each")
    found: list[CaptionedFrame] = []
    for number, source in enumerate(sources):
        file = captions[number] if captions else captions_file(source)
        records = read_captions(file)
        dataset = read_coco(source)
        objects = dataset.by_image()
        for image in sorted(dataset.images, key=lambda image: image.file_name):
            record = records.get(image.id)
            if record is None:
                continue
            if record.file_name != image.file_name:
                raise ConfigurationError(
                    f"{file}: image {image.id} is {record.file_name!r}, and {image.file_name!r} in {source}"
                )
            polyps = objects[image.id]
            frame = Frame(
                resolve_image(dataset.image_root, image.file_name),
                tuple(item.bbox for item in polyps),
                tuple(item.segmentation for item in polyps),
            )
            found.append(CaptionedFrame(frame, record.caption))
    if not found:
        raise ConfigurationError(f"no frame with a caption in {', '.join(map(str, sources))}")
    return found


def digest_captioned(frames: Sequence[CaptionedFrame]) -> str:
    """16 digits that change with pictures, polyps, captions and their order.

    Raises:
        ImageError: a picture can't be read.
    """
    digest = hashlib.sha256(digest_frames([item.frame for item in frames]).encode())
    digest.update("\n".join(item.caption for item in frames).encode())
    return digest.hexdigest()[:16]


class CaptionedExample(NamedTuple):
    """One example, or a batch of them with one dimension more.

    Attributes:
        image: float32 (3, size, size), RGB in [−1, 1].
        mask: bool (1, size, size), True where a polyp is.
        number: int64: which frame, and how it is mirrored; see `CaptionedDataset.caption`.
    """

    image: Tensor
    mask: Tensor
    number: Tensor


class CaptionedDataset(Dataset[CaptionedExample]):
    """Examples of CCIS-Diff, drawn by number: whole frames, at one size whatever their shape, mirrored at random.

    Args:
        frames: of `read_captioned_frames`.
        size: side of the pictures in pixels.
        count: number of examples.
        polyp_frames: share of examples from frames with polyps; None takes every frame equally often.
        mirror: mirror frames, and what their captions say of left and right, upper and lower.
        seed: the only source of randomness.

    Raises:
        ConfigurationError: a share asks for frames that there are none of.
    """

    def __init__(
        self,
        frames: Sequence[CaptionedFrame],
        *,
        size: int,
        count: int,
        polyp_frames: float | None = None,
        mirror: bool = True,
        seed: int = 0,
    ) -> None:
        self._frames = list(frames)
        self._with = [number for number, item in enumerate(frames) if item.frame.boxes]
        self._without = [number for number, item in enumerate(frames) if not item.frame.boxes]
        self._share = len(self._with) / len(frames) if polyp_frames is None else polyp_frames
        if (self._share > 0 and not self._with) or (self._share < 1 and not self._without):
            raise ConfigurationError(
                f"'polyp_frames' is {polyp_frames}, of {len(self._with)} frames with polyps and "
                f"{len(self._without)} without"
            )
        self._size, self._count, self._mirror, self._seed = size, count, mirror, seed

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> CaptionedExample:
        """Example number `index`.

        Raises:
            ImageError: a frame can't be read.
        """
        generator = Key(self._seed, "captioned", draw=index).generator("example")
        pool = self._with if generator.random() < self._share else self._without
        frame = pool[int(generator.integers(len(pool)))]
        way = int(generator.integers(MIRRORS)) if self._mirror else 0
        image, mask = draw_frame(self._frames[frame].frame, self._size)
        across, down = (-1 if way & 1 else 1), (-1 if way & 2 else 1)
        return CaptionedExample(
            torch.from_numpy(np.ascontiguousarray(image[::down, ::across])).permute(2, 0, 1).float() / 127.5 - 1.0,
            torch.from_numpy(np.ascontiguousarray(mask[::down, ::across]))[None],
            torch.tensor(frame * MIRRORS + way),
        )

    def caption(self, number: int) -> str:
        """What an example says, by its `number`."""
        frame, way = divmod(number, MIRRORS)
        return mirrored(self._frames[frame].caption, across=bool(way & 1), upside_down=bool(way & 2))


def draw_frame(frame: Frame, size: int) -> tuple[Any, Any]:
    """A frame and the mask of its polyps at one size, whatever their shape.

    Args:
        frame: with masks for all of its polyps.
        size: side in pixels.

    Returns:
        uint8 RGB (size, size, 3), and bool (size, size).

    Raises:
        ImageError: the picture can't be read.
    """
    image = read_image(frame.path)
    height, width = image.shape[:2]
    mask = np.zeros((height, width), dtype=np.bool_)
    for segmentation in frame.segmentations:
        mask |= decode_segmentation(segmentation, width, height)
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8), squeezed_mask(mask, size)
