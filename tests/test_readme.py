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


def examples(title: str) -> list[str]:
    """The Python examples of docs/albumentations.md under a heading."""
    document = (Path(__file__).resolve().parents[1] / "docs" / "albumentations.md").read_text("utf-8")
    found = re.search(rf"\n## {title}\n(.*?)(?=\n## |\Z)", document, re.DOTALL)
    assert found, title
    return re.findall(r"```python\n(.*?)```", found[1], re.DOTALL)


class Network(torch.nn.Module):
    """In place of torchvision's detectors, with their arguments and result; it keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[torch.Tensor, int]] = []

    def forward(self, images: list[torch.Tensor], targets: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        self.seen += [(image, len(target["boxes"])) for image, target in zip(images, targets, strict=True)]
        return {"loss_box": self.weight.sum() + 1, "loss_class": (self.weight - 1).square().sum()}


@pytest.fixture
def torch_names(phantoms: Phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the examples for torch find: a COCO set, a run over it, and a detector."""
    generate(config(phantoms, backgrounds=phantoms.references, per_image=2), tmp_path / "synthetic")
    (tmp_path / "kvasir_train").symlink_to(phantoms.references)
    monkeypatch.chdir(tmp_path)
    return {"network": Network()}


def run_for_two_epochs(example: str, names: dict[str, Any]) -> None:
    """Run an example; each epoch must show the frames that belong to it, and other ones than the next."""
    for old, new in (("num_workers=2", "num_workers=0"), ("range(10)", "range(2)"), ("max_epochs=10", "max_epochs=2")):
        example = example.replace(old, new)
    names["network"].seen.clear()
    before = names["network"].weight.detach().clone()
    exec(example, names)  # noqa: S102
    frames, seen = names["train"], names["network"].seen
    assert len(seen) == 2 * len(frames)
    epochs = []
    for epoch in range(2):
        frames.set_epoch(epoch)
        expected = [frames[index] for index in range(len(frames))]
        epochs.append(sorted((float(image.double().sum()), len(target["boxes"])) for image, target in expected))
        shown = seen[epoch * len(frames) : (epoch + 1) * len(frames)]
        assert sorted((float(image.double().sum()), count) for image, count in shown) == epochs[epoch]
    assert epochs[0] != epochs[1]
    assert not torch.equal(names["network"].weight.detach(), before)


def test_the_example_for_albumentations(phantoms: Phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [example] = examples("Albumentations")
    generate(config(phantoms, per_image=2), tmp_path / "synthetic")
    monkeypatch.chdir(tmp_path)
    image = read_image(sorted(phantoms.backgrounds.iterdir())[0])
    names: dict[str, Any] = {"image": image, "boxes": [], "labels": []}
    exec(example, names)  # noqa: S102
    assert names["result"]["image"].shape == (256, 256, 3)


def test_the_examples_for_torch(torch_names: dict[str, Any]) -> None:
    data_set, loop, _ = examples("A data set of torch")
    exec(data_set, torch_names)  # noqa: S102
    run_for_two_epochs(loop, torch_names)


# Lightning uses an old name of torch's, and warns of loaders without workers and of short epochs.
@pytest.mark.filterwarnings(
    "ignore:.*LeafSpec:FutureWarning", "ignore:.*does not have many workers", "ignore:The number of training batches"
)
def test_the_example_for_lightning(torch_names: dict[str, Any]) -> None:
    pytest.importorskip("lightning", reason="lightning is not installed")
    data_set, loop, trainer = examples("A data set of torch")
    exec(data_set, torch_names)  # noqa: S102
    run_for_two_epochs(loop, torch_names)
    run_for_two_epochs(trainer, torch_names)


@pytest.mark.parametrize("name", [*synthesizer_names(), *proposer_names()])
def test_every_part_has_a_row(name: str) -> None:
    assert f"| `{name}` |" in README


def test_every_file_that_the_readme_links_to_exists() -> None:
    root = Path(__file__).resolve().parents[1]
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (root / target).exists(), target
