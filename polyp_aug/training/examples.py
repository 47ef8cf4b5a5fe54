"""Training examples of Polyp-Gen: a crop of a frame, the mask of what is repainted, and the prompt.

Example number i is the same in every process, epoch and order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from polyp_aug.coco import decode_segmentation
from polyp_aug.errors import ConfigurationError
from polyp_aug.images import MaskArray, read_image
from polyp_aug.keys import Key
from polyp_aug.mucosa import find_mucosa
from polyp_aug.synthesizers.polyp_gen.windows import snap_mask
from polyp_aug.training.frames import Frame
from polyp_aug.training.pseudo_masks import PseudoMaskSettings, draw_pseudo_mask, joint_crop

#: What a model is trained to paint; an example's prompt is an index into these. The last is the unconditional branch.
PROMPTS = ("Polyp", "Normal", "")
EMPTY_PROMPT = PROMPTS.index("")

#: So many frames in a row may leave no room for a mask.
_ATTEMPTS = 50


@dataclass(frozen=True)
class ExampleSettings:
    """How examples are drawn.

    Attributes:
        size: side of a crop in pixels.
        masks: of the pseudo masks.
        polyp_frames: share of examples that are drawn from frames with polyps; None takes every frame equally often.
        outlines: the polyps' own outlines for *Polyp* masks: the ablation without BPM.
        context: smallest and largest side of the crop over the longer side of the mask's box.
        seed: the only source of randomness.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    size: int
    masks: PseudoMaskSettings = field(default_factory=PseudoMaskSettings)
    polyp_frames: float | None = None
    outlines: bool = False
    context: tuple[float, float] = (1.2, 3.0)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 16:
            raise ConfigurationError(f"'size' must be at least 16 (got {self.size})")
        if self.polyp_frames is not None and not 0.0 <= self.polyp_frames <= 1.0:
            raise ConfigurationError(f"'polyp_frames' must be within 0 … 1 (got {self.polyp_frames})")
        if not 1.0 <= self.context[0] <= self.context[1]:
            raise ConfigurationError(f"'context' must rise from at least 1 (got {self.context})")

    def to_dict(self) -> dict[str, Any]:
        """In JSON types."""
        return asdict(self)


class Example(NamedTuple):
    """One example, or a batch of them with one dimension more.

    Attributes:
        image: float32 (3, size, size), RGB in [−1, 1].
        mask: float32 (1, size, size), 1 where it is repainted, in whole cells of the latents.
        prompt: int64, an index into `PROMPTS`.
    """

    image: Tensor
    mask: Tensor
    prompt: Tensor


class ExampleDataset(Dataset[Example]):
    """Examples of Polyp-Gen, drawn by number.

    Args:
        frames: of `read_frames`.
        settings: how they are drawn.
        cell: side of the picture over the side of its latents.
        count: number of examples.

    Raises:
        ConfigurationError: the size is no multiple of `cell`, or a share asks for frames that there are none of.
    """

    def __init__(self, frames: Sequence[Frame], settings: ExampleSettings, cell: int, count: int) -> None:
        if settings.size % cell:
            raise ConfigurationError(f"'size' must be a multiple of {cell} (got {settings.size})")
        self._with = [frame for frame in frames if frame.boxes]
        self._without = [frame for frame in frames if not frame.boxes]
        share = settings.polyp_frames
        self._share = len(self._with) / len(frames) if share is None else share
        if settings.outlines and any(None in frame.segmentations for frame in self._with):
            raise ConfigurationError("'outlines' needs a mask for every polyp, and there are polyps with a box alone")
        if (self._share > 0 and not self._with) or (self._share < 1 and not self._without):
            raise ConfigurationError(
                f"'polyp_frames' is {share}, of {len(self._with)} frames with polyps and {len(self._without)} without"
            )
        self._settings = settings
        self._cell = cell
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Example:
        """Example number `index`.

        Raises:
            ImageError: a frame can't be read.
            ConfigurationError: no frame leaves room for a mask.
        """
        generator = Key(self._settings.seed, "example", draw=index).generator("example")
        for _ in range(_ATTEMPTS):
            pool = self._with if generator.random() < self._share else self._without
            frame = pool[int(generator.integers(len(pool)))]
            image = read_image(frame.path)
            height, width = image.shape[:2]
            outline = partial(_outline, frame, width, height) if self._settings.outlines else None
            mucosa = find_mucosa(image).covers if self._settings.masks.mucosa_share else None
            drawn = draw_pseudo_mask(width, height, frame.boxes, self._settings.masks, generator, outline, mucosa)
            if drawn is None:
                continue
            crop, mask = joint_crop(image, drawn.mask, self._settings.size, generator, self._settings.context)
            return Example(
                torch.from_numpy(crop).permute(2, 0, 1).float() / 127.5 - 1.0,
                torch.from_numpy(snap_mask(mask, self._cell).astype(np.float32))[None],
                torch.tensor(PROMPTS.index(drawn.prompt)),
            )
        raise ConfigurationError(f"{frame.path}: no room for a mask, nor in {_ATTEMPTS - 1} frames drawn before it")


def _outline(frame: Frame, width: int, height: int, number: int) -> MaskArray:
    mask = decode_segmentation(frame.segmentations[number], width, height)
    if not mask.any():
        raise ConfigurationError(f"{frame.path}: the polyp in {frame.boxes[number]} has no outline")
    return mask
