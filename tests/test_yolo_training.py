"""Ultralytics by its program: how long it trains, what is taken up again, and what its files say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Phantoms

from polyp_aug.errors import ConfigurationError, ImageError, MissingDependencyError, ProgramError
from polyp_aug.integrations.yolo.inference import detect_yolo, read_detections
from polyp_aug.integrations.yolo.options import epochs_for, read_options
from polyp_aug.integrations.yolo.program import find_program, program_version, run_program
from polyp_aug.integrations.yolo.training import remove_training_data, train_yolo

#: In place of ultralytics' program: it writes down how it was called, and does what a file beside it says.
PROGRAM = """#!{python}
import json, sys, zipfile
from pathlib import Path

here = Path(__file__).parent
calls = here / "calls.json"
given = dict(word.split("=", 1) for word in sys.argv[3:])
calls.write_text(json.dumps([*json.loads(calls.read_text()), given]))
if sys.argv[1] == "version":
    print("8.4.190")
    sys.exit(0)
out = Path(given.get("save_dir") or Path(given["project"], given["name"]))
if sys.argv[2] == "train":
    wish = (here / "wish").read_text()
    weights = out / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    if not wish.startswith("empty"):
        with zipfile.ZipFile(weights / "last.pt", "w") as archive:
            archive.writestr("data", "weights")
    if wish:
        print("\\x1b[31mfirst\\x1b[0m line\\n\\n" + wish, file=sys.stderr)
        sys.exit(3)
    sys.exit(0)
(out / "labels").mkdir(parents=True)
for picture in sorted(Path(given["source"]).iterdir())[1:]:
    assert picture.stat().st_size
    (out / "labels" / f"{{picture.stem}}.txt").write_text("0 0.5 0.5 0.25 0.5 0.75\\n")
"""


class Program:
    """The stand-in, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.command = folder, str(folder / "yolo")
        folder.mkdir()
        (folder / "yolo").write_text(PROGRAM.format(python=sys.executable))
        (folder / "yolo").chmod(0o755)
        (folder / "calls.json").write_text("[]")
        self.wish("")

    def wish(self, text: str) -> None:
        """Make it fail with these last words; with none, succeed."""
        (self.folder / "wish").write_text(text)

    @property
    def calls(self) -> list[dict[str, str]]:
        """The settings of each call."""
        found: list[dict[str, str]] = json.loads((self.folder / "calls.json").read_text())
        return found


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path / "program")


def train(program: Program, phantoms: Phantoms, out: Path, **changes: Any) -> Path:
    settings = {"model": "yolov8n.yaml", "iterations": 7, "command": program.command, "options": ["batch=4"]}
    return train_yolo([phantoms.references], phantoms.references, out, **(settings | changes))


@pytest.mark.parametrize(
    ("iterations", "pictures", "batch_size", "epochs"),
    [(1, 1, 1, 1), (100, 300, 16, 6), (19, 300, 16, 1), (20, 300, 16, 2), (5, 3, 16, 5), (1000, 885, 16, 18)],
)
def test_epochs_give_at_least_the_iterations(iterations: int, pictures: int, batch_size: int, epochs: int) -> None:
    assert epochs_for(iterations, pictures, batch_size) == epochs
    batches = -(-pictures // batch_size)
    assert (epochs - 1) * batches < iterations <= epochs * batches


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("imgsz", "expected 'key=value'"),
        ("--imgsz=64", "expected 'key=value'"),
        ("epochs=3", "'epochs' can't be given"),
        ("cfg=a.yaml", "'cfg' can't be given"),
        ("seed=3", "'seed' can't be given"),
        ("batch=-1", "'batch=-1', expected a whole number of pictures"),
        ("batch=0.5", "'batch=0.5', expected a whole number"),
        ("lr0=0.1", "'lr0' is given twice"),
    ],
)
def test_options_that_are_refused(option: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_options(["lr0=0.01", option])


def test_options_are_read() -> None:
    assert read_options(["imgsz=256", "batch=8", "pretrained=a=b"]) == {
        "imgsz": "256",
        "batch": "8",
        "pretrained": "a=b",
    }


def test_a_training_is_begun_once(program: Program, phantoms: Phantoms, tmp_path: Path) -> None:
    out = tmp_path / "out"
    last = train(program, phantoms, out, options=["batch=4", "imgsz=64", "val=True"], seed=5, amp=True)
    [call] = program.calls
    # Ten pictures are three batches of four.
    assert (call["epochs"], call["batch"], call["seed"], call["amp"], call["val"]) == ("3", "4", "5", "True", "True")
    assert (call["warmup_epochs"], call["close_mosaic"], call["patience"]) == ("0.3", "0", "0")
    assert call["model"] == "yolov8n.yaml"
    assert Path(call["data"]) == (out / "data" / "data.yaml").resolve()
    picture = next((out / "data" / "images" / "train").iterdir())
    assert picture.stat().st_nlink == 1, "ultralytics may change a picture: it must be a copy"
    assert train(program, phantoms, out) == last
    assert len(program.calls) == 1
    remove_training_data(out)
    assert not last.exists()
    assert not (out / "data").exists()
    assert (out / "yolo.txt").exists()


def test_an_interrupted_training_goes_on(program: Program, phantoms: Phantoms, tmp_path: Path) -> None:
    out = tmp_path / "out"
    program.wish("disk full")
    with pytest.raises(
        ProgramError, match=r"(?s)yolo detect train ended with 3; .*yolo\.txt.*:\nfirst line\ndisk full"
    ):
        train(program, phantoms, out)
    with pytest.raises(ProgramError, match=rf"(?s)disk full\nTo begin this training anew, remove {out}"):
        train(program, phantoms, out)
    program.wish("")
    last = train(program, phantoms, out)
    assert ["resume" in call for call in program.calls] == [False, True, True]
    assert Path(program.calls[-1]["resume"]) == Path(program.calls[-1]["model"]) == last
    assert Path(program.calls[-1]["save_dir"]) == last.parent.parent


def test_a_training_that_was_whole_is_taken_as_it_is(program: Program, phantoms: Phantoms, tmp_path: Path) -> None:
    program.wish("killed")
    with pytest.raises(ProgramError):
        train(program, phantoms, tmp_path / "out")
    program.wish("AssertionError: last.pt training to 3 epochs is finished, nothing to resume.\nStart a new training")
    train(program, phantoms, tmp_path / "out")
    train(program, phantoms, tmp_path / "out")
    assert ["resume" in call for call in program.calls] == [False, True]


def test_a_half_written_checkpoint_is_begun_anew(program: Program, phantoms: Phantoms, tmp_path: Path) -> None:
    program.wish("killed")
    with pytest.raises(ProgramError):
        train(program, phantoms, tmp_path / "out")
    last = tmp_path / "out" / "ultralytics" / "weights" / "last.pt"
    last.write_bytes(last.read_bytes()[:-30])
    program.wish("")
    assert train(program, phantoms, tmp_path / "out") == last
    assert ["resume" in call for call in program.calls] == [False, False]


def test_a_program_that_leaves_nothing_or_is_not_there(
    program: Program, phantoms: Phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program.folder / "yolo").write_text("#!/bin/sh\n")
    with pytest.raises(ProgramError, match=r"left no .*last\.pt"):
        train(program, phantoms, tmp_path / "out")
    with pytest.raises(ProgramError, match="version ended with 0: ''"):
        program_version(program.command)
    for command in ("no_such_yolo", str(tmp_path / "yolo")):
        with pytest.raises(MissingDependencyError, match=rf"'{command}' is not there .*AGPL-3\.0.*'command'"):
            train(program, phantoms, tmp_path / "other", command=command)
    assert not (tmp_path / "other").exists()
    monkeypatch.setenv("PATH", str(program.folder), prepend=os.pathsep)
    assert find_program("yolo") == program.command


def test_pictures_of_one_name_are_told_apart(program: Program, phantoms: Phantoms, tmp_path: Path) -> None:
    """The stand-in finds nothing in the first picture, and one box in each of the others."""
    pictures = sorted((phantoms.references / "images").iterdir())[:2]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.PNG").write_bytes(pictures[folder == "b"].read_bytes())
    images = [tmp_path / "a" / "x.PNG", tmp_path / "b" / "x.PNG", *pictures]
    out = tmp_path / "out"
    found = detect_yolo(tmp_path / "last.pt", images, out, command=program.command, options=["imgsz=96", "batch=4"])
    assert [len(item.scores) for item in found] == [0, 1, 1, 1]
    np.testing.assert_array_equal(found[1].boxes, [[96.0, 54.0, 64.0, 108.0]])
    assert found[0].boxes.shape == (0, 4)
    [call] = program.calls
    assert (call["imgsz"], call["conf"], call["save_txt"], call["save_conf"]) == ("96", "0.001", "True", "True")
    assert "batch" not in call
    assert sorted(path.name for path in out.iterdir()) == ["yolo.txt"]
    images[0].write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"a/x\.PNG"):
        detect_yolo(tmp_path / "last.pt", images, out, command=program.command)


def test_files_of_detections(tmp_path: Path) -> None:
    file = tmp_path / "000000.txt"
    file.write_text("0 0.5 0.5 0.5 0.25 0.9\n1 1 0.125 0 0.25 0.00105\n")
    found = read_detections(file, 200, 80)
    np.testing.assert_array_equal(found.boxes, [[50, 30, 100, 20], [200, 0, 0, 20]])
    np.testing.assert_array_equal(found.scores, [0.9, 0.00105])
    assert found.boxes.dtype == found.scores.dtype == np.float64
    file.write_text("")
    assert read_detections(file, 200, 80).boxes.shape == (0, 4)


@pytest.mark.parametrize("line", ["0 0.5 0.5 0.5 0.25", "0 0.5 0.5 0.5 0.25 high", "0 0.5 0.5 0.5 0.25 nan"])
def test_files_of_something_else_are_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"0 0.5 0.5 0.5 0.25 0.9\n{line}\n")
    with pytest.raises(ProgramError, match=r"a\.txt: can't be read as detections"):
        read_detections(tmp_path / "a.txt", 10, 10)


def test_a_program_ends_with_the_one_who_started_it(tmp_path: Path) -> None:
    """Even when that is killed; and so does what the program started itself."""
    script = f"sleep 600 & echo $! > {tmp_path}/inner; echo $$ > {tmp_path}/outer; wait"
    code = (
        "from pathlib import Path; from polyp_aug.integrations.yolo.program import run_program; "
        f"run_program(['sh', '-c', {script!r}], Path({str(tmp_path / 'log')!r}))"
    )
    starter = subprocess.Popen([sys.executable, "-c", code])
    _wait(lambda: all((tmp_path / name).exists() and (tmp_path / name).read_text() for name in ("inner", "outer")))
    numbers = [int((tmp_path / name).read_text()) for name in ("inner", "outer")]
    assert all(map(_alive, numbers))
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    _wait(lambda: not any(map(_alive, numbers)))


def test_a_program_that_a_signal_ends(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="ended with 137"):
        run_program(["sh", "-c", "kill -9 $$"], tmp_path / "log")
    run_program(["sh", "-c", "echo done"], tmp_path / "log")
    assert (tmp_path / "log").read_text().endswith("done\n")


def _alive(number: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
