"""A data set of torch with synthetic polyps: images and targets of every kind, workers, epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Phantoms
from PIL import Image
from runs import config
from torch.utils.data import DataLoader, Dataset

from polyp_aug.coco import decode_segmentation, read_coco, resolve_image
from polyp_aug.errors import ConfigurationError
from polyp_aug.generation.generate import generate
from polyp_aug.images import read_image
from polyp_aug.integrations.torch import SyntheticPolyps
from polyp_aug.online import OnlineSettings

ALWAYS = OnlineSettings(probability=1.0)
KINDS = ("pillow", "array", "uint8", "float32", "float64")


class Frames(Dataset[tuple[Any, dict[str, Any]]]):
    """The phantoms with polyps, in torchvision's convention, and two frames without."""

    def __init__(self, phantoms: Phantoms, kind: str = "uint8", masks: bool = True) -> None:
        dataset = read_coco(phantoms.references)
        self.items = []
        for image in dataset.images:
            own = dataset.by_image()[image.id]
            boxes = np.array([item.bbox for item in own])
            boxes[:, 2:] += boxes[:, :2]
            masked = [decode_segmentation(item.segmentation, image.width, image.height) for item in own]
            self.items.append((resolve_image(dataset.image_root, image.file_name), boxes, np.array(masked)))
        for path in sorted(phantoms.backgrounds.iterdir())[:2]:
            self.items.append((path, np.empty((0, 4)), np.empty((0, 216, 256), bool)))
        self.kind, self.masks = kind, masks

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Any, dict[str, Any]]:
        path, boxes, masks = self.items[index]
        image = read_image(path)
        target: dict[str, Any] = {
            "boxes": torch.tensor(boxes, dtype=torch.float32),
            "labels": torch.full((len(boxes),), 2, dtype=torch.int64),
            "image_id": index,
            "area": torch.tensor(masks.sum(axis=(1, 2)), dtype=torch.float32),
            "iscrowd": torch.zeros(len(boxes), dtype=torch.uint8),
        }
        if self.masks:
            target["masks"] = torch.tensor(masks, dtype=torch.uint8)
        if self.kind == "pillow":
            return Image.fromarray(image), target
        if self.kind == "array":
            return image, target
        tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
        return (tensor if self.kind == "uint8" else tensor.to(getattr(torch, self.kind)) / 255), target


@pytest.fixture(scope="module")
def run(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two samples of each frame with polyps."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    generate(config(phantoms, backgrounds=phantoms.references, per_image=2, polyps_per_image=(1, 1)), folder)
    return folder


def pixels(image: Any) -> np.ndarray[Any, Any]:
    """The picture as float64 (H, W, 3) in grey levels."""
    if isinstance(image, torch.Tensor):
        found = image.numpy().transpose(1, 2, 0).astype(np.float64)
        return found if image.dtype == torch.uint8 else found * 255
    return np.asarray(image, dtype=np.float64)


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_frames_come_back_as_what_they_were(phantoms: Phantoms, run: Path, kind: str, masks: bool) -> None:
    plain = Frames(phantoms, kind, masks)
    found = SyntheticPolyps(plain, run, settings=ALWAYS, label=5)
    found.set_epoch(0)
    assert len(found) == 12
    changed = 0
    for index in range(len(plain)):
        (before, old), (after, new) = plain[index], found[index]
        assert type(after) is type(before)
        assert pixels(after).shape == pixels(before).shape
        if isinstance(before, torch.Tensor):
            assert after.dtype == before.dtype
        count = len(old["boxes"])
        added = len(new["boxes"]) - count
        assert added in (0, 1)
        assert {name: type(value) for name, value in new.items()} == {name: type(value) for name, value in old.items()}
        for name in ("boxes", "labels", "area", "iscrowd", *(["masks"] if masks else [])):
            assert new[name].dtype == old[name].dtype
            assert len(new[name]) == count + added
        torch.testing.assert_close(new["boxes"][:count], old["boxes"])
        assert new["labels"].tolist() == [2] * count + [5] * added
        different = np.abs(pixels(after) - pixels(before)).max(axis=2) > 0.5
        if not added:
            assert not different.any()
            continue
        changed += 1
        x, y, right, bottom = new["boxes"][-1].round().int().tolist()
        assert different[y:bottom, x:right].mean() > 0.3
        if masks:
            assert not (new["masks"][:-1].bool() & new["masks"][-1].bool()).any()
            assert new["area"][-1] == pytest.approx(int(new["masks"][-1].sum()), rel=0.05)
    assert changed > 6


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_epochs_differ_and_workers_don_t_matter(phantoms: Phantoms, run: Path) -> None:
    def epochs(workers: int, seed: int = 1) -> list[list[float]]:
        settings = OnlineSettings(probability=0.7)
        data = SyntheticPolyps(Frames(phantoms), run, settings=settings, seed=seed)
        loader = DataLoader(data, batch_size=3, num_workers=workers, persistent_workers=workers > 0, collate_fn=list)
        found = []
        for epoch in range(3):
            data.set_epoch(epoch)
            found.append([float(image.double().sum()) for batch in loader for image, _ in batch])
        return found

    expected = epochs(0)
    assert epochs(1) == epochs(3) == expected
    assert expected[0] != expected[1] != expected[2]
    assert epochs(0, seed=2) != expected


def test_without_epochs_draws_differ(phantoms: Phantoms, run: Path) -> None:
    data = SyntheticPolyps(Frames(phantoms), run, settings=OnlineSettings(probability=0.5))
    assert len({float(data[0][0].double().sum()) for _ in range(12)}) > 1


def test_what_does_not_fit_is_said(phantoms: Phantoms, run: Path) -> None:
    with pytest.raises(ConfigurationError, match="'pool' or 'synthesizer' must be given"):
        SyntheticPolyps(Frames(phantoms))

    class Grey(Frames):
        def __getitem__(self, index: int) -> tuple[Any, dict[str, Any]]:
            image, target = super().__getitem__(index)
            return image[:1], target

    with pytest.raises(ConfigurationError, match=r"a Tensor of shape torch\.Size\(\[1, 216, 256\]\)"):
        SyntheticPolyps(Grey(phantoms), run, settings=ALWAYS)[0]
    moved = SyntheticPolyps(Frames(phantoms), synthesizer="copy_paste", references=phantoms.references, settings=ALWAYS)
    assert any(len(moved[k][1]["boxes"]) > len(moved.dataset[k][1]["boxes"]) for k in range(12))
