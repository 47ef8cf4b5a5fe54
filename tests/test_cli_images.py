"""`polyp-aug evaluate images` and `compare`, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import Phantoms
from test_cli import run

from polyp_aug.phantom import write_phantom_dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten other frames with polyps, which stand for what a program made."""
    root = tmp_path_factory.mktemp("made")
    write_phantom_dataset(root / "set", count=10, seed=900, polyps=(1, 1), width=128, height=96)
    return root / "set"


@pytest.mark.slow
def test_sets_of_pictures_are_evaluated(phantoms: Phantoms, made: Path, tmp_path: Path) -> None:
    sets = ("--real", phantoms.references, "--set", f"made={made}", "--set", f"files={made / 'images'}")
    out = ("--out", tmp_path / "out", "--cache", tmp_path / "cache")
    result = run("evaluate", "images", *sets, "--count", 10, *out)
    assert result.returncode == 0, result.stderr
    assert "Warning: no more pictures than the 1280 features of EfficientNet-Lite0 (real 10, made 10, files 10)" in (
        result.stderr
    )
    assert "Fréchet distance (EfficientNet-Lite0) ↓" in result.stdout
    assert f"Wrote {tmp_path / 'out' / 'report.md'}" in result.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert report["protocol"]["common"] == 96
    measures = report["extractors"][0]["measures"]
    assert measures["kernel_distance"]["made"]["value"] == measures["kernel_distance"]["files"]["value"]
    # Crops need objects that count: all, since no run marked them.
    crops = run("evaluate", "images", *sets[:4], "--crops", "--every-object", *out)
    assert crops.returncode == 0, crops.stderr
    assert json.loads((tmp_path / "out" / "report.json").read_bytes())["protocol"]["crops"]
    unmarked = run("evaluate", "images", *sets[:4], "--crops", *out)
    assert unmarked.returncode == 1
    assert "sets that other programs made must be taken whole" in unmarked.stderr


@pytest.mark.slow
def test_an_evaluation_that_was_killed_goes_on(phantoms: Phantoms, made: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", "images", "--real", phantoms.references, "--set", f"made={made}", "--out", tmp_path)
    command = [sys.executable, "-m", "polyp_aug", *(str(argument) for argument in arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (stored := list((tmp_path / "cache").rglob("*.npz"))) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "report.json").exists()
    before = {path: path.stat().st_mtime_ns for path in stored}
    assert before
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    first = (tmp_path / "report.json").read_bytes()
    assert run(*arguments).returncode == 0
    assert (tmp_path / "report.json").read_bytes() == first


@pytest.mark.slow
def test_synthesizers_are_compared(phantoms: Phantoms, made: Path, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    content = {"data": {"Phantoms": {"real": str(phantoms.references)}}, "methods": {"mine": {"Phantoms": str(made)}}}
    spec.write_text(yaml.safe_dump(content))
    result = run("evaluate", "compare", spec, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "Phantoms, mine: measuring" in result.stderr
    assert "All data sets: EfficientNet-Lite0" in result.stdout
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"cells", "cache", "report.json", "report.md", "results.csv", "recall-EfficientNet-Lite0.png"} <= written
    again = run("evaluate", "compare", spec, "--out", tmp_path / "out")
    assert "Phantoms, mine: measured before" in again.stderr
    assert again.stdout == result.stdout
    spec.write_text(yaml.safe_dump({**content, "colour": 1}))
    wrong = run("evaluate", "compare", spec, "--out", tmp_path / "out")
    assert wrong.returncode == 1
    assert f"{spec}: the file: unknown setting 'colour'" in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--set", "path"), 2, "expected NAME="),
        (("--set", "a=path", "--captions", "b=file"), 2, "--captions of 'b', but no --set has this name"),
        (("--set", "a=path", "--extractor", "resnet"), 1, "no extractor 'resnet', expected NAME or NAME=WEIGHTS"),
        (("--set", "a=path", "--extractor", "clip"), 1, "extractor 'clip': expected clip=FOLDER"),
        (("--set", "a=none"), 1, "none: not a folder"),
    ],
)
def test_wrong_usage_is_named(
    arguments: tuple[str, ...], code: int, message: str, phantoms: Phantoms, tmp_path: Path
) -> None:
    result = run("evaluate", "images", "--real", phantoms.references, *arguments, "--out", tmp_path / "out")
    assert result.returncode == code
    assert message in result.stderr
    assert not (tmp_path / "out").exists()
