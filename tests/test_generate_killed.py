"""A run that is killed with SIGKILL, wherever, ends with the bytes of one that never was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Phantoms
from runs import config, digests

from polyp_aug.generation.generate import generate


def test_killed_at_file_operations(phantoms: Phantoms, tmp_path: Path) -> None:
    """At every sixth of all operations that change a file: every kind of step is hit."""
    script = Path(__file__).with_name("kill_points.py")
    arguments = [sys.executable, str(script), str(phantoms.backgrounds), str(phantoms.references), str(tmp_path)]
    result = subprocess.run([*arguments, "0", "6"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    operations, kills = (int(number) for number in result.stdout.split())
    assert operations >= 60
    assert kills >= operations // 6


@pytest.mark.parametrize("delay", [0.05, 0.2, 0.4])
def test_killed_by_the_clock(delay: float, phantoms: Phantoms, tmp_path: Path) -> None:
    generate(config(phantoms, count=24), tmp_path / "whole")
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "polyp_aug", "generate", "--count", "24", "--seed", "1", "--batch-size", "2"]
    command += ["--polyps-per-image", "1-2", "--backgrounds", str(phantoms.backgrounds)]
    command += ["--references", str(phantoms.references), "--out", str(out)]
    kills = 0
    for _ in range(40):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and not (out / "run.json").exists():
                time.sleep(0.01)
            time.sleep(delay)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
            if process.wait() == 0:
                break
            kills += 1
        delay *= 1.7
    assert kills >= 1
    assert digests(out) == digests(tmp_path / "whole")
