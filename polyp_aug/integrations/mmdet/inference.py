"""What a trained detector finds in pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.recall import Detections
from polyp_aug.evaluation.report import digest_of, versions
from polyp_aug.images import ImageArray, read_image
from polyp_aug.integrations.mmdet.checkpoints import load_weights
from polyp_aug.integrations.mmdet.configs import read_config

_PACKAGES = ("torch", "mmcv", "mmengine", "mmdet", "numpy", "pycocotools")


def detect(
    config: Path,
    checkpoint: Path,
    images: Sequence[Path],
    *,
    batch_size: int = 8,
    device: str = "cpu",
    observer: Callable[[int, int], None] | None = None,
) -> list[Detections]:
    """Detect objects in picture files; see `detect_pictures`.

    Args:
        config: file of the config; see `read_config`.
        checkpoint: of mmengine, for that config.
        images: files, in any form that `read_image` takes.
        batch_size: pictures that go through the network at once.
        device: of torch.
        observer: called with the pictures done and their number.

    Raises:
        ConfigurationError: config, checkpoint or device doesn't fit, or `batch_size` is less than 1.
        ImageError: a picture can't be read.
    """
    pictures = (read_image(path) for path in images)
    show = None if observer is None else partial(_report, observer, len(images))
    return detect_pictures(config, checkpoint, pictures, batch_size=batch_size, device=device, observer=show)


def detect_pictures(
    config: Path,
    checkpoint: Path,
    pictures: Iterable[ImageArray],
    *,
    batch_size: int = 8,
    device: str = "cpu",
    observer: Callable[[int], None] | None = None,
) -> list[Detections]:
    """Detect objects in pictures, by the config's test pipeline; the classes are not told apart.

    Equal inputs and threads give equal results on a processor. Only inputs of one size stand in a batch: nothing is
    padded for a neighbour's sake; a batch changes the results of its pictures by rounding only.

    Args:
        config: file of the config; see `read_config`.
        checkpoint: of mmengine, for that config.
        pictures: uint8 RGB (H, W, 3) each, taken when they are needed.
        batch_size: pictures that go through the network at once.
        device: of torch.
        observer: called with the number of pictures that are done.

    Returns:
        For each picture all boxes that the network gives, in its own pixels, whatever their scores.

    Raises:
        ConfigurationError: config, checkpoint or device doesn't fit, or `batch_size` is less than 1.
    """
    if batch_size < 1:
        raise ConfigurationError(f"'batch_size' must be at least 1 (got {batch_size})")
    settings = read_config(config)
    init_default_scope("mmdet")
    model = MODELS.build(settings.model)
    load_weights(model, checkpoint)
    move_model(model, device)
    model.eval()
    prepare = _pipeline(settings)
    found: list[Detections] = []
    for batch in _batches((prepare(_picture(image, number)) for number, image in enumerate(pictures)), batch_size):
        with torch.no_grad():
            results = model.test_step({name: [item[name] for item in batch] for name in ("inputs", "data_samples")})
        found += [_detections(result.pred_instances) for result in results]
        if observer is not None:
            observer(len(found))
    return found


def _report(observer: Callable[[int, int], None], total: int, done: int) -> None:
    observer(done, total)


def move_model(model: nn.Module, device: str) -> None:
    """Move a model to a device of torch.

    Raises:
        ConfigurationError: torch can't use it here.
    """
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(f"'device' is {device!r}, which torch can't use here ({error})") from error


def detector_facts(config: Path, checkpoint: Path) -> dict[str, Any]:
    """What a report says about a detector: its config's name, digests, and versions.

    Raises:
        ConfigurationError: a file can't be read.
    """
    return {
        "config": config.stem,
        "config_sha256": digest_of([config]),
        "checkpoint_sha256": digest_of([checkpoint]),
        "versions": versions(_PACKAGES),
    }


def _pipeline(settings: Config) -> Compose:
    """The config's test pipeline for pictures that are read already."""
    loading, *others = settings.test_dataloader.dataset.pipeline
    if loading.type != "LoadImageFromFile":
        raise ConfigurationError(f"the test pipeline begins with {loading.type!r}, expected 'LoadImageFromFile'")
    return Compose([{**loading, "type": "mmdet.LoadImageFromNDArray"}, *others])


def _picture(image: ImageArray, number: int) -> dict[str, Any]:
    return {"img": cv2.cvtColor(image, cv2.COLOR_RGB2BGR), "img_id": number}


def _batches(items: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """Consecutive items whose inputs have one shape, at most `size` at once."""
    for _, alike in groupby(items, key=lambda item: item["inputs"].shape):
        batch: list[dict[str, Any]] = []
        for item in alike:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch


def _detections(instances: Any) -> Detections:
    boxes = instances.bboxes.cpu().numpy().astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return Detections(boxes, instances.scores.cpu().numpy().astype(np.float64))
