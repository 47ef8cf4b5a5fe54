"""The script that spoils frames and measures them, on a few phantom frames."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from polyp_aug.phantom import write_phantom_dataset

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "measure_metric_sensitivity.py"


@pytest.mark.slow
def test_measures_move_as_frames_are_spoilt(tmp_path: Path) -> None:
    for name, count, seed in (("train", 40, 10), ("test", 16, 300)):
        write_phantom_dataset(tmp_path / name, count=count, seed=seed, polyps=(1, 1), width=128, height=112)
    sets = ("--train", tmp_path / "train", "--test", tmp_path / "test", "--clusters", "5")
    command = [sys.executable, SCRIPT, *sets, "--cache", tmp_path / "cache", "--out", tmp_path / "out" / "table.md"]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "out" / "table.md").read_text("utf-8")
    assert result.stdout == text
    tables = {part.partition("\n")[0]: part for part in text.split("### ")[1:]}
    assert list(tables) == ["Blur", "Noise", "Colour shift", "Pasted patches", "Dropped modes", "Copies"]
    for title, part in tables.items():
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:1] == "|"]
        head, values, verdicts = rows[0], [[float(cell) for cell in row] for row in rows[2:-1]], rows[-1]
        assert len(values) == 5
        place = {name: number for number, name in enumerate(head)}
        # Verdicts are about what stands in the columns.
        for name in ("Fréchet", "kernel × 1000"):
            column = [row[place[name]] for row in values]
            if verdicts[place[name]] == "rises":
                assert column == sorted(column)
            elif verdicts[place[name]] == "falls":
                assert column == sorted(column, reverse=True)
            else:
                assert verdicts[place[name]].startswith("**should have")
        if title in ("Noise", "Pasted patches"):
            assert verdicts[place["kernel × 1000"]] == "rises"
        if title == "Copies":
            assert [row[place["close, %"]] for row in values] == sorted(row[place["close, %"]] for row in values)
            assert values[-1][place["close, %"]] == 100.0
        # What is untouched is the same in every table of all held-out frames.
        if title != "Dropped modes":
            assert values[0][1:] == [float(cell) for cell in first_row(tables["Blur"])][1:]
    again = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert again.stdout == text


def first_row(part: str) -> list[str]:
    return [cell.strip() for cell in part.splitlines()[4].strip("|").split("|")]
