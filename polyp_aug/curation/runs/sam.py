"""Masks by Segment Anything (Kirillov et al., 2023), asked by boxes; the model comes from transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from polyp_aug.encoders.digest import digest_weights
from polyp_aug.encoders.imagenet import DEVIATION, MEAN
from polyp_aug.encoders.pretrained import load_pretrained
from polyp_aug.geometry import Box
from polyp_aug.images import ImageArray, MaskArray

#: transformers' name of what can be loaded.
MODEL_TYPES = ("sam",)


class SamSegmenter:
    """Segments what a box holds.

    Args:
        name: a transformers folder, or a hub id as `org/name@commit`; safetensors only.
        device: where it runs.

    Attributes:
        revision: digest over all weights.

    Raises:
        ConfigurationError: it can't be loaded, or is not SAM.
    """

    def __init__(self, name: str, device: str = "cpu") -> None:
        model: Any = load_pretrained(name, MODEL_TYPES)
        self.revision = digest_weights("sam", sorted(model.state_dict().items()))
        self._size = int(model.config.vision_config.image_size)
        self._model = model.to(device)
        self._device = device

    @torch.no_grad()
    def segment(self, image: ImageArray, boxes: Sequence[Box]) -> list[MaskArray]:
        """The mask of each box, the one of SAM's three that it trusts most.

        Args:
            image: uint8 RGB (H, W, 3).
            boxes: xywh in pixels.

        Returns:
            bool (H, W) for each box; a mask may be empty.
        """
        if not boxes:
            return []
        height, width = image.shape[:2]
        scale = self._size / max(height, width)
        inner = (max(1, round(height * scale)), max(1, round(width * scale)))
        corners = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in boxes], dtype=torch.float32) * scale
        found = self._model(
            pixel_values=self._prepared(image, inner),
            input_boxes=corners[None].to(self._device),
            multimask_output=True,
        )
        best = found.iou_scores[0].argmax(dim=1)
        logits = found.pred_masks[0][torch.arange(len(boxes), device=best.device), best]
        return [self._enlarged(mask, inner, (height, width)) for mask in logits]

    def _prepared(self, image: ImageArray, inner: tuple[int, int]) -> Tensor:
        """The picture at the model's size, normalised, in the upper left corner of a square: (1, 3, S, S)."""
        method = cv2.INTER_AREA if inner[0] < image.shape[0] else cv2.INTER_LINEAR
        small = np.asarray(cv2.resize(image, inner[::-1], interpolation=method), np.float32) / 255.0
        square = np.zeros((self._size, self._size, 3), np.float32)
        square[: inner[0], : inner[1]] = (small - np.asarray(MEAN)) / np.asarray(DEVIATION)
        return torch.from_numpy(square).permute(2, 0, 1)[None].to(self._device)

    def _enlarged(self, logits: Tensor, inner: tuple[int, int], size: tuple[int, int]) -> MaskArray:
        """A mask (s, s) in logits, which covers the square, at the frame's size."""
        whole = torch.nn.functional.interpolate(logits[None, None], (self._size, self._size), mode="bilinear")
        part = whole[:, :, : inner[0], : inner[1]]
        frame = torch.nn.functional.interpolate(part, size, mode="bilinear")
        return np.asarray((frame[0, 0] > 0).cpu().numpy(), np.bool_)
