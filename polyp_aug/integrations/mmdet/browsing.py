"""What a detector sees in training: frames after the config's training pipeline, with their boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from mmdet.registry import DATASETS
from mmdet.structures.bbox import get_box_tensor
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from PIL import Image, ImageDraw, ImageFont

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.report import make_folder
from polyp_aug.images import ImageArray, write_png
from polyp_aug.integrations.mmdet.configs import read_config, use_pool, use_training_data
from polyp_aug.integrations.mmdet.drawing import DrawnIndex
from polyp_aug.keys import Key
from polyp_aug.sheets import captioned, grid

SHEET_NAME = "sheet.png"

#: Pictures in a row of the sheet, and the largest width of one in pixels.
_COLUMNS = 4
_TILE_WIDTH = 400

_COLOUR = (64, 224, 208)
_IGNORED_COLOUR = (160, 160, 160)
_LETTERS = 15


@dataclass(frozen=True, eq=False)
class Sample:
    """A frame as a detector gets it.

    Attributes:
        name: of the frame's file.
        image: uint8 RGB.
        boxes: float64 (N, 4), xyxy in pixels of `image`.
        labels: class of each box.
        ignored: bool (N,): boxes that training neither rewards nor punishes, such as crowds.
    """

    name: str
    image: ImageArray
    boxes: npt.NDArray[np.float64]
    labels: tuple[str, ...]
    ignored: npt.NDArray[np.bool_]

    def drawn(self) -> ImageArray:
        """The picture with its boxes and their classes, uint8 RGB."""
        picture = Image.fromarray(self.image)
        pen, font = ImageDraw.Draw(picture), ImageFont.load_default(_LETTERS)
        for box, label, ignored in zip(self.boxes.round().tolist(), self.labels, self.ignored.tolist(), strict=True):
            colour = _IGNORED_COLOUR if ignored else _COLOUR
            left, top, right, bottom = box
            pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=2)
            pen.text((left + 4, top + 2), f"{label} (ignored)" if ignored else label, fill=colour, font=font)
        return np.array(picture, dtype=np.uint8)


def training_samples(
    config: Path,
    data: Sequence[Path],
    *,
    synthetic: Sequence[Path] = (),
    pool: Path | None = None,
    count: int = 12,
    options: Sequence[str] = (),
    seed: int = 0,
) -> list[Sample]:
    """Draw frames of COCO sets and take them through the config's training pipeline.

    No frame is drawn twice before each was drawn once. mmdet's transforms use the global random state, which is
    seeded anew for every sample, and ours its number: a sample depends on the seed and its number, not on `count`.
    What changes while a detector trains is as at its beginning.

    Args:
        config: file of the config; see `read_config`.
        data: COCO sets, joined as in a training.
        synthetic: generated COCO sets, joined, for a config that mixes them with the real ones by a ratio.
        pool: what the config's `PolypSynthesis` draws from: a pool, or a run folder. None: what the config names.
        count: of the samples.
        options: changes of the config as `key=value`.
        seed: of the choice of frames and the transforms.

    Raises:
        CocoError: a COCO file breaks the format.
        ConfigurationError: the config or a set doesn't fit, or `count` is less than 1.
    """
    if count < 1:
        raise ConfigurationError(f"'count' must be at least 1 (got {count})")
    settings = read_config(config, options)
    use_training_data(settings, data, synthetic)
    if pool is not None:
        use_pool(settings, pool)
    init_default_scope("mmdet")
    dataset = DATASETS.build(settings.train_dataloader.dataset)
    classes = dataset.metainfo["classes"]
    rounds = -(-count // len(dataset))
    orders = [Key(seed, "browse", draw=k).generator("order").permutation(len(dataset)) for k in range(rounds)]
    samples = []
    for number, frame in enumerate(np.concatenate(orders)[:count].tolist()):
        set_random_seed(Key(seed, "browse", draw=number).digest("transforms") % 2**32)
        samples.append(_sample(dataset[DrawnIndex(frame, epoch=seed, draw=number, progress=0.0)], classes))
    return samples


def sample_sheet(samples: Sequence[Sample]) -> ImageArray:
    """Samples in rows with their numbers and names, uint8 RGB."""
    tiles = [captioned(_tile(sample.drawn()), f"{number} {sample.name}") for number, sample in enumerate(samples, 1)]
    return grid(tiles, columns=min(_COLUMNS, len(tiles)))


def write_samples(samples: Sequence[Sample], out: Path) -> Path:
    """Write `001.png` and so on, one picture of each sample, and all of them to `sheet.png`.

    Returns:
        The sheet's file.

    Raises:
        StorageError: a file can't be written.
    """
    make_folder(out)
    for number, sample in enumerate(samples, 1):
        write_png(out / f"{number:03d}.png", sample.drawn())
    sheet = out / SHEET_NAME
    write_png(sheet, sample_sheet(samples))
    return sheet


def _sample(item: dict[str, Any], classes: Sequence[str]) -> Sample:
    pixels = item["inputs"].numpy()[::-1].transpose(1, 2, 0)
    sample = item["data_samples"]
    parts = [sample.gt_instances, *([sample.ignored_instances] if "ignored_instances" in sample else [])]
    boxes = [get_box_tensor(part.bboxes).numpy().astype(np.float64).reshape(-1, 4) for part in parts]
    return Sample(
        name=Path(sample.metainfo.get("img_path", "")).name,
        image=np.ascontiguousarray(pixels.round().clip(0, 255).astype(np.uint8)),
        boxes=np.concatenate(boxes),
        labels=tuple(classes[label] for part in parts for label in part.labels.tolist()),
        ignored=np.repeat([False, True][: len(parts)], [len(own) for own in boxes]),
    )


def _tile(image: ImageArray) -> ImageArray:
    """A picture that is no wider than the sheet's tiles."""
    height, width = image.shape[:2]
    if width <= _TILE_WIDTH:
        return image
    size = (_TILE_WIDTH, max(1, round(height * _TILE_WIDTH / width)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
