"""`polyp-aug curate` and `polyp-aug audit`, as a user types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Phantoms
from runs import config, digests, records
from test_cli import ROOT, run

from polyp_aug.curation.runs.curate import curate
from polyp_aug.curation.runs.policy import read_policy
from polyp_aug.generation.generate import generate
from polyp_aug.images import read_image
from polyp_aug.phantom import write_phantom_dataset

POLICY = "rules:\n  - {score: lightness_step, at_least: 6}\n  - distinct: {hash: calibrated}\n"
SHEETS = {"kept.png", "rejected.png"}


@pytest.fixture(scope="module")
def painted(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "run"
    generate(config(phantoms, count=6), out)
    return out


def test_curate_writes_what_the_library_writes(painted: Path, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    curate(painted, tmp_path / "library", read_policy(tmp_path / "policy.yaml"))
    result = run("curate", painted, "--policy", tmp_path / "policy.yaml", "--out", tmp_path / "cli")
    assert result.returncode == 0, result.stderr
    found, expected = (digests(tmp_path / name) for name in ("cli", "library"))
    assert set(found) == set(expected)
    # Sheets are resized for the eye, and OpenCV rounds by its number of threads.
    assert {name: found[name] for name in found if name not in SHEETS} == {
        name: expected[name] for name in expected if name not in SHEETS
    }
    for name in SHEETS & set(found):
        pictures = [read_image(tmp_path / folder / name).astype(int) for folder in ("cli", "library")]
        assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert "polyps kept" in result.stdout
    before = digests(painted)
    again = run("curate", painted, "--out", tmp_path / "cli")
    assert again.returncode == 1
    assert "made with other settings" in again.stderr
    assert digests(painted) == before


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--referee", "config.py,checkpoint.pth"), "expected CONFIG,CHECKPOINT,TRAINED_ON"),
        (("--detector", "config.py"), "expected CONFIG,CHECKPOINT"),
        (("--detector", "config.py,a.pth,b.pth"), "expected CONFIG,CHECKPOINT"),
    ],
)
def test_detectors_are_typed_with_all_their_parts(flags: tuple[str, ...], says: str, tmp_path: Path) -> None:
    result = run("curate", "run", "--out", tmp_path / "out", *flags)
    assert result.returncode == 2
    assert says in result.stderr


def test_what_no_rule_needs_is_refused(painted: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    result = run("curate", painted, "--out", tmp_path / "out", "--train", phantoms.references)
    assert result.returncode == 1
    assert "the training set is given, but no rule of the policy needs it" in result.stderr


@pytest.mark.slow
def test_referees_are_detectors_of_mmdet(painted: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    from polyp_aug.integrations.mmdet.configs import read_config

    settings = ROOT / "mmdet_configs" / "centernet" / "centernet_mini_real.py"
    init_default_scope("mmdet")
    torch.manual_seed(0)
    torch.save({"state_dict": MODELS.build(read_config(settings).model).state_dict()}, tmp_path / "net.pth")
    write_phantom_dataset(tmp_path / "others", count=2, seed=4000, polyps=(1, 1), width=64, height=64)
    document = json.loads((tmp_path / "others" / "annotations.json").read_text())
    for image in document["images"]:
        image["dataset"] = "others"
    (tmp_path / "others" / "annotations.json").write_text(json.dumps(document))
    (tmp_path / "policy.yaml").write_text("rules:\n  - {score: confidence, at_least: 0.0}\n  - hardest: 0.5\n")
    detector = f"{settings},{tmp_path / 'net.pth'}"
    flags = ("--policy", tmp_path / "policy.yaml", "--detector", detector)
    seen, unseen = (f"{detector},{path}" for path in (phantoms.references, tmp_path / "others"))
    result = run("curate", painted, "--out", tmp_path / "out", *flags, "--referee", seen, "--referee", unseen)
    assert result.returncode == 0, result.stderr
    assert "judged by 2: centernet_mini_real" in result.stdout
    made = sum(record["status"] == "made" for record in records(painted))
    assert sum(record["status"] == "made" for record in records(tmp_path / "out")) == -(-made // 2)


def test_audit_tells_clean_from_leaking_sets_by_its_exit_code(
    painted: Path, phantoms: Phantoms, tmp_path: Path
) -> None:
    write_phantom_dataset(tmp_path / "test", count=3, seed=900, polyps=(1, 1), width=256, height=216)
    document = json.loads((tmp_path / "test" / "annotations.json").read_text())
    for image in document["images"]:
        image["dataset"] = "held out"
    (tmp_path / "test" / "annotations.json").write_text(json.dumps(document))
    shutil.copytree(phantoms.references, tmp_path / "train")
    document = json.loads((tmp_path / "train" / "annotations.json").read_text())
    for image in document["images"]:
        image["dataset"] = "train"
    (tmp_path / "train" / "annotations.json").write_text(json.dumps(document))
    sets = ("--train", tmp_path / "train", "--evaluation", tmp_path / "test")
    clean = run("audit", tmp_path / "train", *sets, "--out", tmp_path / "clean", "--no-features")
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert "No leak was found" in clean.stdout
    leaking = run(
        "audit", painted, "--evaluation", phantoms.references, "--out", tmp_path / "leak", "--no-features", "--sheet"
    )
    assert leaking.returncode == 1, leaking.stderr
    assert "leaks found" in leaking.stdout
    assert json.loads((tmp_path / "leak" / "report.json").read_bytes())["clean"] is False
    wrong = run("audit", painted, "--out", tmp_path / "wrong")
    assert wrong.returncode == 2
    assert not (tmp_path / "wrong").exists()
