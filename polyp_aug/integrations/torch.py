"""A data set of torch with synthetic polyps, for plain training loops and torchvision's detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import Box, Region
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key
from polyp_aug.online import NewPolyp, OnlineSettings, load_online_augmenter
from polyp_aug.scene import Scene, SceneObject

Picture = Image.Image | ImageArray | Tensor
Target = dict[str, Any]


class SyntheticPolyps(Dataset[tuple[Picture, Target]]):
    """Another data set of (image, target), whose frames get synthetic polyps.

    The target follows torchvision's detectors: `boxes` float (N, 4), xyxy in pixels; `labels` int64 (N,); and where
    they are there, `masks` (N, H, W), `area` (N,) and `iscrowd` (N,). All other entries are passed on. An image is RGB:
    a Pillow picture, uint8 (H, W, 3), or a tensor (3, H, W), uint8 or float in [0, 1]; it comes back as what it was.

    What is drawn depends on the seed, the index and the epoch, for any number of workers, where `set_epoch` is called
    before each epoch; without that it depends on the worker's seed, which follows `torch.manual_seed`.

    Args:
        dataset: the data set; frames are as they were when the pool's polyps were painted into them.
        pool: folder of a pool, or of a run, whose pool is cut out the first time.
        synthesizer: paints frames that the pool doesn't know; see `load_live_painter`.
        references: COCO set of the polyps that the synthesizer moves.
        proposer: finds places for the synthesizer.
        settings: how often, how many, how large; see `OnlineSettings`.
        label: of the new polyps; torchvision's detectors keep 0 for the background.
        seed: of everything that is drawn.

    Raises:
        ConfigurationError: neither pool nor synthesizer is given.
    """

    def __init__(
        self,
        dataset: Dataset[tuple[Picture, Target]],
        pool: str | Path | None = None,
        *,
        synthesizer: str | None = None,
        references: str | Path | None = None,
        proposer: Literal["random", "reference"] = "random",
        settings: OnlineSettings | None = None,
        label: int = 1,
        seed: int = 0,
    ) -> None:
        self.dataset, self.label, self.seed = dataset, label, seed
        settings = settings or OnlineSettings()
        self._augmenter = load_online_augmenter(pool, synthesizer, references, proposer, settings)
        # Shared with workers that live longer than an epoch.
        self._epoch = torch.tensor(-1, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._draws = 0

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int) -> tuple[Picture, Target]:
        """A frame and its objects, the new ones last.

        Raises:
            ConfigurationError: the image is of another kind, or a diffusion model would have to paint in a worker.
        """
        picture, target = self.dataset[index]
        painter = self._augmenter.painter
        if painter is not None and not painter.in_workers and get_worker_info() is not None:
            raise ConfigurationError("a diffusion model can't paint in a data loader's worker; draw from a 'pool'")
        image = _pixels(picture)
        boxes = [
            (left, top, right - left, bottom - top)
            for left, top, right, bottom in target["boxes"].reshape(-1, 4).double().tolist()
        ]
        masks = [Region.from_mask(mask.numpy() > 0) for mask in target["masks"]] if "masks" in target else None
        scene = Scene("", image, tuple(SceneObject(box, "") for box in boxes))
        found = self._augmenter.augment(scene, self._key(index), masks)
        if found.status != "changed":
            return picture, target
        return _like(picture, found.image), _extended(target, found.removed, found.added, self.label, boxes)

    def _key(self, index: int) -> Key:
        epoch = int(self._epoch)
        if epoch >= 0:
            return Key(self.seed, str(index), epoch)
        worker = get_worker_info()
        self._draws += 1
        return Key(self.seed, str(index), worker.seed if worker else 0, self._draws)


def _pixels(picture: Picture) -> ImageArray:
    """The picture as uint8 RGB (H, W, 3)."""
    if isinstance(picture, Image.Image):
        return np.array(picture.convert("RGB"), dtype=np.uint8)
    if isinstance(picture, Tensor) and picture.ndim == 3 and picture.shape[0] == 3:
        whole = picture if picture.dtype == torch.uint8 else (picture.clamp(0, 1) * 255.0 + 0.5).to(torch.uint8)
        return np.ascontiguousarray(whole.numpy().transpose(1, 2, 0))
    if isinstance(picture, np.ndarray) and picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8:
        return picture
    shape = getattr(picture, "shape", None)
    raise ConfigurationError(
        f"the image is a {type(picture).__name__} of shape {shape}, expected a Pillow picture, uint8 (H, W, 3), or a "
        "tensor (3, H, W)"
    )


def _like(picture: Picture, image: ImageArray) -> Picture:
    """The changed picture in the form of the first; floats that didn't change keep their exact value."""
    if isinstance(picture, Image.Image):
        return Image.fromarray(image)
    if isinstance(picture, np.ndarray):
        return image
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    if picture.dtype == torch.uint8:
        return pixels
    before = torch.from_numpy(_pixels(picture).transpose(2, 0, 1).copy())
    return torch.where(pixels != before, pixels.to(picture.dtype) / 255.0, picture)


def _extended(
    target: Mapping[str, Any],
    removed: Sequence[int],
    added: Sequence[NewPolyp],
    label: int,
    boxes: Sequence[Box],
) -> Target:
    """The target without what was removed, and with what was added."""
    kept = torch.tensor([index for index in range(len(boxes)) if index not in removed], dtype=torch.int64)
    new = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in (item.box for item in added)], dtype=torch.float64)
    result = dict(target)
    result["boxes"] = torch.cat([target["boxes"].reshape(-1, 4)[kept], new.to(target["boxes"].dtype)])
    result["labels"] = torch.cat([target["labels"][kept], torch.full((len(added),), label, dtype=torch.int64)])
    if "iscrowd" in target:
        crowds = target["iscrowd"]
        result["iscrowd"] = torch.cat([crowds[kept], torch.zeros(len(added), dtype=crowds.dtype)])
    if "masks" in target:
        result["masks"] = _masks(target["masks"], kept, added)
    if "area" in target:
        areas = target["area"]
        own = [(item.region.area if item.region else item.box[2] * item.box[3]) for item in added]
        result["area"] = torch.cat([areas[kept], torch.tensor(own, dtype=areas.dtype)])
    return result


def _masks(masks: Tensor, kept: Tensor, added: Sequence[NewPolyp]) -> Tensor:
    """Masks of the single objects, (N, H, W); what a new polyp hides is taken away."""
    height, width = masks.shape[1:]
    new = torch.zeros((len(added), height, width), dtype=torch.bool)
    for own, item in zip(new, added, strict=True):
        own[:] = torch.from_numpy(item.to_mask(height, width))
    old = masks[kept].clone()
    old[:, new.any(dim=0)] = 0
    return torch.cat([old, new.to(masks.dtype)])
