"""`polyp-aug reader-study`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from conftest import Phantoms
from reader_studies import write_answers
from runs import config
from test_cli import run

from polyp_aug.cli import app
from polyp_aug.generation.generate import generate
from polyp_aug.reader_study.key import read_key
from polyp_aug.reader_study.make import StudySettings, make_study
from polyp_aug.reader_study.score import score_study
from polyp_aug.reader_study.sources import StudySet


def test_a_study_is_made_and_scored(phantoms: Phantoms, tmp_path: Path) -> None:
    generate(config(phantoms, count=4), tmp_path / "run")
    page, key = tmp_path / "study.html", tmp_path / "key.json"
    sets = ("--real", phantoms.references, "--synthetic", f"mine={tmp_path / 'run'}")
    options = ("--count", 4, "--ask", "mask", "--ask", "origin", "--size", 128, "--fit", "crop", "--seed", 5)
    made = run("reader-study", "make", *sets, *options, "--quality", 80, "--title", "T", "--out", page, "--key", key)
    assert made.returncode == 0, made.stderr
    assert f"page: {page} (" in made.stdout
    assert f"key : {key}, to be kept from the readers" in made.stdout
    settings = StudySettings(count=4, questions=("origin", "mask"), size=128, fit="crop", seed=5, quality=80, title="T")
    library = (tmp_path / "library.html", tmp_path / "library.json")
    make_study(StudySet("real", phantoms.references), [StudySet("mine", tmp_path / "run")], *library, settings)
    assert (page.read_bytes(), key.read_bytes()) == tuple(file.read_bytes() for file in library)

    files = [
        write_answers(
            tmp_path / f"{name}.json",
            read_key(key),
            name,
            lambda source, _number: {"origin": "real" if source == "real" else "synthetic", "mask": 3},
        )
        for name in ("one", "two")
    ]
    scored = run("reader-study", "score", *files, "--key", key, "--out", tmp_path / "out")
    assert scored.returncode == 0, scored.stderr
    assert f"Wrote {tmp_path / 'out' / 'report.md'}" in scored.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert report == score_study(key, files, tmp_path / "library").report
    assert report["telling_apart"]["pooled"]["accuracy"]["value"] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--captions", "mine=captions.jsonl"), "--captions belongs to --ask text"),
        (("--captions", "other=captions.jsonl", "--ask", "text"), "names 'other', which is no set of this study"),
        (("--repeats",), "--repeats belongs to --count"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(options: tuple[str, ...], message: str) -> None:
    arguments = ["reader-study", "make", "--real", "r", "--synthetic", "mine=s", "--out", "o.html", "--key", "k.json"]
    with pytest.raises(typer.BadParameter, match=message):
        app([*arguments, *options], standalone_mode=False)
