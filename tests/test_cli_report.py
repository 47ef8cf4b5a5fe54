"""`polyp-aug report`, as a user types it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from captioned import save_tiny, write_phantom_captions
from conftest import Phantoms
from runs import config, digests
from tiny_diffusion import pipeline

from polyp_aug.evaluation.report import Table, write_report
from polyp_aug.generation.frames import FramesConfig, generate_frames
from polyp_aug.generation.generate import generate
from polyp_aug.generation.mask_drawer import ShapeShares
from polyp_aug.generation.remove import RemoveConfig, remove
from polyp_aug.generation.run_folder import read_run
from polyp_aug.generation.writing import RunLimits
from polyp_aug.reporting.command import command_of, shell_lines
from polyp_aug.reporting.report import report_run
from polyp_aug.synthesizers.frame_options import FrameOptions
from polyp_aug.synthesizers.options import PaintingOptions


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the program in a wide terminal without colours."""
    environment = os.environ | {"COLUMNS": "400", "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-m", "polyp_aug", *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_report_writes_what_the_library_writes(phantoms: Phantoms, tmp_path: Path) -> None:
    generate(config(phantoms), tmp_path / "made")
    (tmp_path / "kid").mkdir()
    write_report(tmp_path / "kid", "Polyps", {"seed": 0}, [Table("T", ("set", "n"), [("a", "1")])], "Notes.")
    report_run(
        tmp_path / "made",
        tmp_path / "library.html",
        evaluations=[tmp_path / "kid"],
        real=phantoms.references,
        samples=3,
        seed=2,
    )
    options = ("--evaluation", tmp_path / "kid", "--real", phantoms.references, "--samples", 3, "--seed", 2)
    result = run("report", tmp_path / "made", *options, "--out", tmp_path / "cli.html")
    assert result.returncode == 0, result.stderr
    assert f"Wrote {tmp_path / 'cli.html'}" in result.stdout
    assert (tmp_path / "cli.html").read_bytes() == (tmp_path / "library.html").read_bytes()


def test_an_unfinished_run_is_said_and_a_wrong_folder_is_an_error(phantoms: Phantoms, tmp_path: Path) -> None:
    generate(config(phantoms), tmp_path / "part", limits=RunLimits(bytes=150_000))
    result = run("report", tmp_path / "part", "--out", tmp_path / "r.html")
    assert result.returncode == 0, result.stderr
    assert "The run has not ended: " in result.stderr
    result = run("report", tmp_path, "--out", tmp_path / "s.html")
    assert result.returncode == 1
    assert "not a run folder" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "s.html").exists()


def typed(text: str, paths: dict[str, Path]) -> list[str]:
    """The words of a command that a report shows, after the program's name, with paths in the place of names."""
    words = shlex.split(text.replace("\\\n", " "))
    assert words[0] == "polyp-aug"
    return [str(paths.get(word, word)) for word in words[1:]]


def test_the_command_of_a_report_makes_the_run_again(phantoms: Phantoms, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"per_image": 1, "proposer": "random", "size_range": (0.1, 0.3), "feather": 0.1}
    generate(config(phantoms, attempts=3, shard=(1, 2), **settings), tmp_path / "made")
    found = command_of(read_run(tmp_path / "made"))
    assert found.unknown == ()
    report_run(tmp_path / "made", tmp_path / "r.html")
    assert found.text in (tmp_path / "r.html").read_text("utf-8")
    paths = {"normal": phantoms.backgrounds, "polyp": phantoms.references, "OUT": tmp_path / "again"}
    result = run(*typed(found.text, paths))
    assert result.returncode == 0, result.stderr
    assert digests(tmp_path / "again") == digests(tmp_path / "made")


@pytest.mark.slow
def test_the_command_of_a_removal_makes_it_again(phantoms: Phantoms, tmp_path: Path) -> None:
    pipeline().save_pretrained(tmp_path / "weights")
    options = PaintingOptions(weights=str(tmp_path / "weights"), num_inference_steps=2, batch_size=4, mode="frame")
    remove(
        RemoveConfig(phantoms.references, painting=options, margin=9.0, categories=("polyp",), batch_size=4),
        tmp_path / "made",
    )
    found = command_of(read_run(tmp_path / "made"))
    assert found.unknown == ()
    paths = {"polyp": phantoms.references, "weights": tmp_path / "weights", "OUT": tmp_path / "again"}
    words = typed(found.text, paths)
    # The category has the name of the set.
    words[words.index("--category") + 1] = "polyp"
    result = run(*words)
    assert result.returncode == 0, result.stderr
    assert digests(tmp_path / "again") == digests(tmp_path / "made")
    report_run(tmp_path / "made", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "Colonoscopy frames" not in page
    assert "removed polyps" in page


@pytest.mark.slow
@pytest.mark.parametrize("captioned", [False, True])
def test_the_command_of_whole_frames_makes_them_again(phantoms: Phantoms, tmp_path: Path, captioned: bool) -> None:
    weights = save_tiny(tmp_path)
    making = FrameOptions(weights=str(weights), num_inference_steps=2, batch_size=2)
    captions = write_phantom_captions(phantoms, tmp_path) if captioned else None
    settings: dict[str, Any] = {"captions": captions}
    if not captioned:
        settings = {"count": 3, "attributes": {"colour": "pale"}, "shapes": ShapeShares(1.0, 2.0)}
    generate_frames(
        FramesConfig(phantoms.references, making=making, check=False, batch_size=2, **settings), tmp_path / "made"
    )
    found = command_of(read_run(tmp_path / "made"))
    assert found.unknown == ()
    paths = {"polyp": phantoms.references, weights.name: weights, "OUT": tmp_path / "again"}
    result = run(*typed(found.text, paths | ({"CAPTIONS": captions} if captions else {})))
    assert result.returncode == 0, result.stderr
    assert digests(tmp_path / "again") == digests(tmp_path / "made")
    state = report_run(tmp_path / "made", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text("utf-8")
    assert state.expected == state.done == (10 if captioned else 3)
    assert "The settings name no number" not in page
    assert "the masks that it was made from" in page
    record = json.loads((tmp_path / "made" / "manifest.jsonl").read_text("utf-8").splitlines()[0])
    assert f"“{record['caption']}”" in page


def test_settings_without_a_flag_are_named() -> None:
    config = {"seed": 1, "new": 3, "painting": {"odd": 2, "steps": None}}
    found = command_of({"config": config, "inputs": {"backgrounds": "a b"}})
    assert found.unknown == ("new", "painting.odd")
    assert found.text == "polyp-aug generate --backgrounds 'a b' --seed 1 --out OUT"
    assert command_of({"config": {"task": "another"}, "inputs": {}}).text == ""


def test_lines_of_a_command_are_one_command() -> None:
    words = ["polyp-aug", "generate"]
    for number in range(12):
        words += [f"--flag-{number}", f"a value {number}"]
    text = shell_lines(words)
    assert max(map(len, text.splitlines())) < 90
    assert len(text.splitlines()) > 3
    echoed = subprocess.run(["/bin/sh", "-c", f"printf '%s\\n' {text}"], capture_output=True, text=True, check=True)
    assert echoed.stdout.splitlines() == words
