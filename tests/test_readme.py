"""The README's examples, run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Phantoms
from runs import config

from polyp_aug.generation.generate import generate
from polyp_aug.images import read_image
from polyp_aug.proposers.registry import proposer_names
from polyp_aug.synthesizers.registry import synthesizer_names

README = (Path(__file__).resolve().parents[1] / "README.md").read_text("utf-8")


def block(title: str) -> str:
    """The Python example under a heading."""
    found = re.search(rf"## {title}\n.*?```python\n(.*?)```", README, re.DOTALL)
    assert found, title
    return found[1]


def test_the_python_example(phantoms: Phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kvasir").symlink_to(phantoms.references)
    (tmp_path / "my_frames").mkdir()
    frame = next(phantoms.backgrounds.iterdir())
    (tmp_path / "my_frames" / "frame_1.jpg").write_bytes(frame.read_bytes())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block("In Python"), names)  # noqa: S102
    assert names["result"].image.shape == names["scene"].image.shape
    assert names["plan"].polyps


def test_the_training_configuration(phantoms: Phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmdet.registry import DATASETS
    from mmengine.registry import init_default_scope
    from mmengine.utils import import_modules_from_strings

    init_default_scope("mmdet")
    generate(config(phantoms, backgrounds=phantoms.references, per_image=1), tmp_path / "synthetic")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block("In a training configuration"), names)  # noqa: S102
    import_modules_from_strings(**names["custom_imports"])
    dataset = DATASETS.build(
        {
            "type": "CocoDataset",
            "data_root": f"{phantoms.references}/",
            "ann_file": "annotations.json",
            "data_prefix": {"img": "images/"},
            "metainfo": {"classes": ("polyp",)},
            "pipeline": [item for item in names["train_pipeline"] if item is not ...],
        }
    )
    states = [dataset[index % len(dataset)]["polyp_synthesis"] for index in range(40)]
    assert {"changed", "unchanged"} <= set(states)


def test_the_examples_for_albumentations_and_torch(
    phantoms: Phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = (Path(__file__).resolve().parents[1] / "docs" / "albumentations.md").read_text("utf-8")
    first, second, _ = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    generate(config(phantoms, per_image=2), tmp_path / "synthetic")
    monkeypatch.chdir(tmp_path)
    image = read_image(sorted(phantoms.backgrounds.iterdir())[0])
    names: dict[str, Any] = {"image": image, "boxes": [], "labels": []}
    exec(first, names)  # noqa: S102
    assert names["result"]["image"].shape == (256, 256, 3)
    target = {"boxes": torch.empty((0, 4)), "labels": torch.empty(0, dtype=torch.int64)}
    names = {"frames": [(image, target)] * 4}
    exec(second.replace("num_workers=2", "num_workers=0"), names)  # noqa: S102
    assert len(names["batch"]) == 2


@pytest.mark.parametrize("name", [*synthesizer_names(), *proposer_names()])
def test_every_part_has_a_row(name: str) -> None:
    assert f"| `{name}` |" in README


def test_every_file_that_the_readme_links_to_exists() -> None:
    root = Path(__file__).resolve().parents[1]
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (root / target).exists(), target
