"""Captions of a data set: the file beside it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_chat import save_untrained

from polyp_aug.captions.attributes import FOREGROUND
from polyp_aug.captions.chat import ChatWriter
from polyp_aug.captions.chat_model import load_chat
from polyp_aug.captions.check import mentions, split_sentences
from polyp_aug.captions.dataset import caption_dataset, captions_file, read_captions
from polyp_aug.captions.facts import (
    mask_facts,
)
from polyp_aug.captions.template import TemplateWriter
from polyp_aug.coco import decode_segmentation, read_coco, write_coco
from polyp_aug.errors import ConfigurationError, RunConfigurationChanged

# Data sets


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat") / "untrained"
    save_untrained(folder)
    return folder


@pytest.fixture
def dataset(phantoms: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    shutil.copytree(phantoms.references, folder)
    return folder


def test_captions_stand_beside_the_coco_file(dataset: Path) -> None:
    summary = caption_dataset(dataset, TemplateWriter(), seed=4)
    assert summary.file == captions_file(dataset) == dataset / "captions.jsonl"
    assert captions_file(dataset / "part.json") == dataset / "part.captions.jsonl"
    records = read_captions(summary.file)
    found = read_coco(dataset)
    groups = found.by_image()
    assert list(records) == [image.id for image in found.images]
    assert (summary.written, summary.polyps, dict(summary.skipped)) == (10, len(found.annotations), {})
    for image in found.images:
        record = records[image.id]
        assert record.file_name == image.file_name
        areas = {row.id: row.area for row in groups[image.id]}
        assert sorted(record.annotation_ids) == sorted(areas)
        assert [areas[number] for number in record.annotation_ids] == sorted(areas.values(), reverse=True)
        assert record.caption == f"{record.foreground}. {record.background}"
        assert record.writer["name"] == "template"
        assert record.settings["seed"] == 4
        # What the text says can be read off the masks again.
        masks = {row.id: decode_segmentation(row.segmentation, image.width, image.height) for row in groups[image.id]}
        for sentence, number in zip(split_sentences(record.foreground), record.annotation_ids, strict=True):
            said = {mention.attribute: mention.value for mention in mentions(sentence, FOREGROUND)}
            facts = mask_facts(masks[number])
            assert (said["place"], said["size"], said["shape"]) == (facts.place, facts.size, facts.shape)


def test_an_interrupted_file_goes_on_to_the_same_bytes(dataset: Path) -> None:
    file = caption_dataset(dataset, TemplateWriter()).file
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    for start in (b"", lines[0], b"".join(lines[:4]) + lines[4][:50]):
        file.write_bytes(start)
        assert caption_dataset(dataset, TemplateWriter()).written == 10
        assert file.read_bytes() == whole
    assert caption_dataset(dataset, TemplateWriter()).written == 10
    assert file.read_bytes() == whole
    assert [path.name for path in dataset.iterdir() if path.name.startswith(".")] == []


def test_a_file_of_other_settings_is_refused(dataset: Path) -> None:
    file = caption_dataset(dataset, TemplateWriter()).file
    with pytest.raises(RunConfigurationChanged, match=r"was made with seed 0 \(got 1\)"):
        caption_dataset(dataset, TemplateWriter(), seed=1)
    found = read_coco(dataset)
    write_coco(replace(found, annotations=found.annotations[1:]), dataset / "annotations.json")
    with pytest.raises(RunConfigurationChanged, match="was made with dataset"):
        caption_dataset(dataset, TemplateWriter())
    assert len(read_captions(file)) == 10


def test_frames_that_have_no_true_mask_are_skipped_and_counted(dataset: Path) -> None:
    found = read_coco(dataset)
    first, second, third, *others = found.images
    rows = [
        replace(row, segmentation=None)
        if row.image_id == first.id
        else replace(row, iscrowd=1)
        if row.image_id == second.id
        else row
        for row in found.annotations
    ]
    empty = others[0].id
    rows = [row for row in rows if row.image_id != empty]
    write_coco(replace(found, annotations=tuple(rows)), dataset / "annotations.json")
    (found.image_root / third.file_name).write_bytes(b"no picture")
    summary = caption_dataset(dataset, TemplateWriter())
    assert dict(summary.skipped) == {
        "a polyp has a box alone": 1,
        "a polyp is annotated as a crowd": 1,
        "the picture can't be read": 1,
    }
    records = read_captions(summary.file)
    assert list(records) == [image.id for image in others]
    assert (records[empty].foreground, records[empty].annotation_ids) == ("", ())
    assert records[empty].caption == records[empty].background != ""
    assert caption_dataset(dataset, TemplateWriter()) == summary
    shutil.copy(found.image_root / others[1].file_name, found.image_root / third.file_name)
    with pytest.raises(RunConfigurationChanged, match=f"no line for image {third.id}"):
        caption_dataset(dataset, TemplateWriter())


def test_a_chat_model_writes_a_set_and_says_when_it_could_not(dataset: Path, untrained: Path) -> None:
    writer = ChatWriter(load_chat(str(untrained)), attempts=1)
    found = read_coco(dataset)
    write_coco(
        replace(
            found,
            images=found.images[:2],
            annotations=tuple(
                row for row in found.annotations if row.image_id in {image.id for image in found.images[:2]}
            ),
        ),
        dataset / "annotations.json",
    )
    summary = caption_dataset(dataset, writer)
    assert (summary.written, summary.fell_back) == (2, 2)
    for record in read_captions(summary.file).values():
        assert record.writer == {
            "name": "chat",
            "model": "untrained",
            "revision": writer.identity.revision,
            "attempts": 1,
            "fell_back": True,
        }
    with pytest.raises(RunConfigurationChanged, match=r"was made with name 'chat' \(got 'template'\)"):
        caption_dataset(dataset, TemplateWriter())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: {**row, "format": 2}, "format is 2, expected 1"),
        (lambda row: {**row, "image_id": "1"}, "image_id is '1', expected int"),
        (lambda row: {**row, "caption": None}, "caption is None, expected a text"),
        (lambda row: {**row, "writer": {}}, "writer is {}"),
        (lambda row: {**row, "facts": {**row["facts"], "polyps": 3}}, "facts of polyps are 3, expected a list"),
        (lambda row: {key: value for key, value in row.items() if key != "facts"}, "expected annotation_ids"),
        (lambda row: [row], "holds list"),
    ],
)
def test_damaged_lines_are_named(dataset: Path, change: Any, message: str) -> None:
    file = caption_dataset(dataset, TemplateWriter()).file
    lines = file.read_text("ascii").splitlines()
    lines[1] = json.dumps(change(json.loads(lines[1])))
    file.write_text("\n".join(lines) + "\n", "ascii")
    with pytest.raises(ConfigurationError, match=rf"captions.jsonl: line 2 is no caption \(.*{message}"):
        read_captions(file)


def test_doubled_lines_and_missing_files_are_named(dataset: Path) -> None:
    file = caption_dataset(dataset, TemplateWriter()).file
    file.write_bytes(file.read_bytes() + file.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(ConfigurationError, match=r"line 11 captions image \d+ a second time"):
        read_captions(file)
    with pytest.raises(ConfigurationError, match="no such file"):
        read_captions(dataset / "none.jsonl")
