"""Curated runs: nothing gets lost, nothing stays without its annotation, and equal inputs give equal bytes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Phantoms
from runs import config, digests, records

from polyp_aug.coco import decode_segmentation, read_coco
from polyp_aug.curation.origins import Origins
from polyp_aug.curation.runs.curate import curate
from polyp_aug.curation.runs.detectors import Referee, trained_on
from polyp_aug.curation.runs.helpers import Helpers
from polyp_aug.curation.runs.painted import origins_of, painted_objects
from polyp_aug.curation.runs.policy import Policy, parse_policy, read_policy
from polyp_aug.errors import ConfigurationError, RunConfigurationChanged, RunFolderDamagedError
from polyp_aug.evaluation.features import EfficientNetLiteFeatures
from polyp_aug.evaluation.recall import Detections
from polyp_aug.generation.generate import generate
from polyp_aug.geometry import Box
from polyp_aug.images import ImageArray, MaskArray, read_image
from polyp_aug.phantom import write_phantom_dataset
from polyp_aug.scene import Source

#: Takes out about half of the polyps that the tests' run paints.
STRICT = {"rules": [{"score": "lightness_step", "at_least": 6}, {"score": "see_through", "action": "note"}]}


@pytest.fixture(scope="module")
def run(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames with polyps into which one or two more were pasted."""
    out = tmp_path_factory.mktemp("runs") / "run"
    generate(config(phantoms, backgrounds=phantoms.references, count=12, synthesizer="transplant", seed=3), out)
    return out


def polyps(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The painted polyps of a record, kept or rejected."""
    whole = record.get("rejected", record)
    return painted_objects(whole) if whole["status"] == "made" else []


def entry(polyp: dict[str, Any]) -> dict[str, Any]:
    """What the last curation says of a polyp."""
    return polyp["provenance"]["curation"][-1]


def detector(boxes: Callable[[Path], list[tuple[Box, float]]]) -> Callable[[Sequence[Path]], list[Detections]]:
    """A detector that finds what a function says."""

    def detect(paths: Sequence[Path]) -> list[Detections]:
        found = [boxes(path) for path in paths]
        return [
            Detections(
                np.array([box for box, _ in own], np.float64).reshape(-1, 4), np.array([score for _, score in own])
            )
            for own in found
        ]

    return detect


def annotated(run: Path, score: Callable[[int], float]) -> Callable[[Sequence[Path]], list[Detections]]:
    """A detector that finds every painted polyp of a run, with a score that depends on the sample."""
    known = {record["file_name"]: record for record in records(run) if record["status"] == "made"}
    return detector(
        lambda path: [
            (tuple(item["bbox"]), score(known[path.name]["sample"])) for item in painted_objects(known[path.name])
        ]
    )


def test_a_policy_without_rules_gives_an_equal_set(run: Path, tmp_path: Path) -> None:
    result = curate(run, tmp_path / "out", Policy(()))
    assert records(tmp_path / "out") == records(run)
    first, second = digests(run), digests(tmp_path / "out")
    pictures = {name for name in first if name.startswith(("images/", "before/"))}
    assert pictures
    assert {name: second[name] for name in pictures} == {name: first[name] for name in pictures}
    old, new = read_coco(run), read_coco(tmp_path / "out")
    assert (new.images, new.annotations) == (old.images, old.annotations)
    assert result.report["polyps_kept"] == result.report["polyps"]


def test_every_polyp_stands_in_the_manifest_once_kept_or_with_a_reason(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = curate(run, out, parse_policy(STRICT))
    old, new = records(run), records(out)
    assert [record["sample"] for record in new] == [record["sample"] for record in old]
    kept = rejected = 0
    for before, after in zip(old, new, strict=True):
        assert [item["bbox"] for item in polyps(after)] == [item["bbox"] for item in polyps(before)]
        for polyp in polyps(after):
            reasons = entry(polyp).get("reasons", {})
            assert bool(reasons) == (after["status"] == "skipped")
            assert "lightness_step" in entry(polyp)["scores"]
            kept, rejected = kept + (not reasons), rejected + bool(reasons)
    assert kept > 2
    assert rejected > 2
    assert (result.report["polyps_kept"], result.report["polyps"]) == (kept, kept + rejected)
    assert result.report["rules"]["lightness_step"]["rejected"] >= 1
    assert result.report["rules"]["frame"]["rejected"] >= 1
    assert result.report["rules"]["see_through"]["rejected"] == 0
    card = (out / "README.md").read_text("utf-8")
    assert "lightness_step is …, below …" in card
    for name in ("kept.png", "rejected.png"):
        assert read_image(out / name).shape[1] > 500


def test_a_frame_leaves_with_its_rejected_polyp_and_what_was_there_stays(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    curate(run, out, parse_policy(STRICT))
    made = {record["file_name"]: record for record in records(out) if record["status"] == "made"}
    assert {path.name for path in (out / "images").iterdir()} == set(made)
    dataset = read_coco(out)
    assert {image.file_name for image in dataset.images} == set(made)
    old = {record["file_name"]: record for record in records(run)}
    for name, record in made.items():
        own = [item for item in record["objects"] if item["origin"] == "source"]
        assert own == [item for item in old[name]["objects"] if item["origin"] == "source"]
        assert own
        assert not any(entry(polyp).get("reasons") for polyp in polyps(record))
        assert (out / "images" / name).read_bytes() == (run / "images" / name).read_bytes()


class Stopped(Exception):
    pass


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_it_goes_on_where_it_stopped(steps: int, run: Path, tmp_path: Path) -> None:
    rules = [{"score": "agreement", "at_least": -9}, *STRICT["rules"], {"refine": "difference"}]
    policy = parse_policy({"rules": [*rules, {"distinct": {"hash": 10}}]})
    curate(run, tmp_path / "whole", policy)
    stages: list[str] = []

    def stop(what: str, _done: int, _total: int) -> None:
        stages.append(what)
        if len(stages) == steps:
            raise Stopped

    out = tmp_path / "out"
    for _ in range(30):
        stages.clear()
        try:
            curate(run, out, policy, observer=stop)
            break
        except Stopped:
            # A kill may also leave a line that isn't whole.
            for file in (*(out / "scores").glob("*.jsonl"), out / "manifest.jsonl"):
                if file.exists():
                    with open(file, "ab") as stream:
                        stream.write(b'{"sample":')
    else:
        raise AssertionError("it never ended")
    assert digests(out) == digests(tmp_path / "whole")
    # A picture that was lost since comes back.
    lost = next((out / "images").iterdir())
    lost.unlink()
    curate(run, out, policy)
    assert digests(out) == digests(tmp_path / "whole")


def test_other_settings_and_other_runs_are_refused(run: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    out = tmp_path / "out"
    curate(run, out, Policy(()))
    with pytest.raises(RunConfigurationChanged, match=r"config\.curation was"):
        curate(run, out, parse_policy(STRICT))
    other = tmp_path / "other"
    generate(config(phantoms, count=2), other)
    with pytest.raises(RunConfigurationChanged, match="made with other settings"):
        curate(other, out, Policy(()))
    with pytest.raises(ConfigurationError, match="lies in the run"):
        curate(run, run / "out", Policy(()))
    with pytest.raises(ConfigurationError, match="not a run folder"):
        curate(tmp_path, tmp_path / "x", Policy(()))
    run_file = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(run_file | {"config": run_file["config"] | {"task": "remove"}}))
    with pytest.raises(ConfigurationError, match="removes polyps"):
        curate(other, tmp_path / "x", Policy(()))


def test_damage_is_named(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    next((copy / "images").iterdir()).write_bytes(b"")
    with pytest.raises(RunFolderDamagedError, match="missing, or not of"):
        curate(copy, tmp_path / "out", Policy(()))
    file = tmp_path / "out2" / "scores" / "polyp_quality.jsonl"
    curate(run, tmp_path / "out2", parse_policy(STRICT))
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([lines[1], *lines[1:]]))
    with pytest.raises(RunFolderDamagedError, match="line 1 is damaged"):
        curate(run, tmp_path / "out2", parse_policy(STRICT))


def test_a_curated_run_can_be_curated_again(run: Path, tmp_path: Path) -> None:
    curate(run, tmp_path / "one", parse_policy(STRICT))
    second = parse_policy({"rules": [{"score": "glare", "at_most": 0.0}]})
    curate(tmp_path / "one", tmp_path / "two", second)
    steps = json.loads((tmp_path / "two" / "run.json").read_text())["config"]["curation"]
    assert [len(step["policy"]["rules"]) for step in steps] == [2, 1]
    found = records(tmp_path / "two")
    assert sum(len(polyps(record)) for record in found) == sum(len(polyps(record)) for record in records(run))
    for record in found:
        for polyp in polyps(record):
            assert len(polyp["provenance"]["curation"]) in (1, 2)


def test_annotations_are_made_to_fit(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    policy = parse_policy({"rules": [{"refine": "difference"}, {"score": "refined_overlap", "action": "note"}]})
    result = curate(run, out, policy)
    changed = 0
    for old, new in zip(records(run), records(out), strict=True):
        for before, after in zip(polyps(old), polyps(new), strict=True):
            first, second = (
                decode_segmentation(item["segmentation"], old["width"], old["height"]) for item in (before, after)
            )
            overlap = (first & second).sum() / (first | second).sum()
            assert entry(after)["scores"]["refined_overlap"] == pytest.approx(overlap, abs=0.03)
            if "annotated" in entry(after):
                changed += 1
                assert entry(after)["annotated"]["bbox"] == before["bbox"]
    assert changed == result.report["refined"] > 3


class Middle:
    """Segments the middle half of each box."""

    revision = "middle"

    def segment(self, image: ImageArray, boxes: Sequence[Box]) -> list[MaskArray]:
        masks = []
        for x, y, w, h in boxes:
            mask = np.zeros(image.shape[:2], np.bool_)
            mask[round(y + h / 4) : round(y + 3 * h / 4), round(x + w / 4) : round(x + 3 * w / 4)] = True
            # What lies elsewhere is not taken.
            mask[:2, :2] = True
            masks.append(mask)
        return masks


def test_annotations_by_a_segmenter(run: Path, tmp_path: Path) -> None:
    policy = parse_policy({"rules": [{"refine": "sam"}]})
    curate(run, tmp_path / "out", policy, Helpers(segmenter=Middle()))
    for old, new in zip(records(run), records(tmp_path / "out"), strict=True):
        for before, after in zip(polyps(old), polyps(new), strict=True):
            x, _, w, _ = before["bbox"]
            assert after["bbox"][0] == pytest.approx(x + w / 4, abs=1)
            assert after["bbox"][2] == pytest.approx(w / 2, abs=1)
    step = json.loads((tmp_path / "out" / "run.json").read_text())["config"]["curation"][0]
    assert step["sam_revision"] == "middle"


def test_of_equal_polyps_the_first_is_kept(phantoms: Phantoms, tmp_path: Path) -> None:
    """Polyps of one reference that are pasted as they are look alike."""
    references = tmp_path / "one"
    shutil.copytree(phantoms.references, references)
    document = json.loads((references / "annotations.json").read_text())
    largest = max(document["annotations"], key=lambda item: item["area"])
    (references / "annotations.json").write_text(json.dumps(document | {"annotations": [largest]}))
    settings: dict[str, Any] = {"count": 5, "references": references, "polyps_per_image": (1, 1)}
    settings |= {"synthesizer": "copy_paste", "proposer": "reference"}
    generate(config(phantoms, **settings), tmp_path / "run")
    made = [record for record in records(tmp_path / "run") if record["status"] == "made"]
    assert len(made) >= 4
    policy = parse_policy({"rules": [{"distinct": {"hash": 90}}]})
    result = curate(tmp_path / "run", tmp_path / "out", policy)
    found = records(tmp_path / "out")
    assert found[0]["status"] == "made"
    assert result.report["polyps_kept"] <= 2
    gone = next(record for record in found if "rejected" in record)
    assert "looks like sample 0 (hashes differ in" in gone["reasons"][0]
    by_features = parse_policy({"rules": [{"distinct": {"features": 0.3}}]})
    helpers = Helpers(extractor=EfficientNetLiteFeatures())
    result = curate(tmp_path / "run", tmp_path / "features", by_features, helpers)
    assert result.report["rules"]["distinct"]["rejected"] >= 2
    assert "features at distance" in str(records(tmp_path / "features"))
    strict = parse_policy({"rules": [{"distinct": {"features": 0.0}}]})
    assert curate(tmp_path / "run", tmp_path / "none", strict, helpers).report["polyps_kept"] == len(made)


def test_copies_of_training_polyps_are_found(phantoms: Phantoms, tmp_path: Path) -> None:
    settings = {"count": 4, "synthesizer": "copy_paste", "proposer": "reference", "polyps_per_image": (1, 1)}
    generate(config(phantoms, **settings), tmp_path / "pasted")
    write_phantom_dataset(tmp_path / "others", count=6, seed=900, polyps=(1, 1), width=256, height=216)
    policy = parse_policy({"rules": [{"score": "training_hash"}]})
    copies = curate(tmp_path / "pasted", tmp_path / "out", policy, Helpers(train=phantoms.references)).report
    assert (copies["polyps_kept"], copies["polyps"] >= 3) == (0, True)
    assert read_coco(tmp_path / "out").images == ()
    assert not (tmp_path / "out" / "kept.png").exists()
    others = curate(tmp_path / "pasted", tmp_path / "new", policy, Helpers(train=tmp_path / "others")).report
    assert others["polyps_kept"] == others["polyps"]
    by_features = parse_policy({"rules": [{"score": "training_distance", "at_least": 0.0}]})
    helpers = Helpers(train=phantoms.references, extractor=EfficientNetLiteFeatures())
    curate(tmp_path / "pasted", tmp_path / "features", by_features, helpers)
    for record in records(tmp_path / "features"):
        for polyp in polyps(record):
            assert 0 <= entry(polyp)["scores"]["training_distance"] < 0.6


def test_referees_judge_what_they_have_not_seen(run: Path, tmp_path: Path) -> None:
    made = [record for record in records(run) if record["status"] == "made"]
    files = sorted({source.file for record in made for item in polyps(record) for source in origins_of(record, item)})
    half = len(files) // 2
    seen = [Origins(Source(file) for file in part) for part in (files[:half], files[half:])]
    judged: list[tuple[int, str]] = []

    def judge(number: int) -> Callable[[Sequence[Path]], list[Detections]]:
        inner = annotated(run, lambda _sample: 0.9)

        def detect(paths: Sequence[Path]) -> list[Detections]:
            judged.extend((number, path.name) for path in paths)
            return inner(paths)

        return detect

    referees = tuple(Referee(f"r{number}", judge(number), seen[number], {"n": number}) for number in range(2))
    policy = parse_policy({"rules": [{"score": "confidence"}, {"score": "overlap"}]})
    result = curate(run, tmp_path / "out", policy, Helpers(referees=referees))
    looked: Counter[str] = Counter()
    for record in records(tmp_path / "out"):
        whole = record.get("rejected", record)
        for polyp in polyps(record):
            sources = [source.file for source in origins_of(whole, polyp)]
            free = [number for number in range(2) if not any(seen[number].shared(Source(file)) for file in sources)]
            scores = entry(polyp)["scores"]
            if free:
                assert scores["referee"] == f"r{free[0]}"
                assert (scores["confidence"], scores["overlap"]) == (0.9, 1.0)
                assert (free[0], whole["file_name"]) in judged
            else:
                assert "every referee was trained on file" in scores["refused"]
                assert "confidence can't be told" in entry(polyp)["reasons"]["confidence"]
            looked[f"r{free[0]}" if free else "refused"] += 1
    assert looked["refused"] > 0
    assert looked["r0"] + looked["r1"] > 0
    assert result.report["referees"]["refused_as_seen"] == looked["refused"]
    # A policy may accept it, and the report says so.
    accepting = parse_policy({"seen": "accept", "rules": [{"score": "confidence"}]})
    accepted = curate(run, tmp_path / "accepted", accepting, Helpers(referees=referees)).report
    assert accepted["referees"]["judged_though_seen"] == looked["refused"]
    assert accepted["polyps_kept"] == accepted["polyps"]
    assert "judged though trained on" in (tmp_path / "accepted" / "report.md").read_text("utf-8")


def test_what_a_run_came_from_counts_as_seen(run: Path, phantoms: Phantoms) -> None:
    made = [record for record in records(run) if record["status"] == "made"]
    sources = {source for record in made for item in polyps(record) for source in origins_of(record, item)}
    by_run, by_set = trained_on([run]), trained_on([phantoms.references])
    assert all(by_run.shared(source) for source in sources)
    assert all(by_set.shared(source) for source in sources)
    assert by_run.shared(Source("nowhere.png")) is None


def test_the_hardest_that_a_referee_confirms_are_kept(run: Path, tmp_path: Path) -> None:
    referee = Referee("referee", annotated(run, lambda sample: 0.9 if sample % 3 else 0.1), Origins([]), {})
    learner = annotated(run, lambda sample: sample / 100)
    policy = parse_policy({"rules": [{"score": "confidence", "at_least": 0.5}, {"hardest": 0.5}]})
    helpers = Helpers(referees=(referee,), detector=learner, detector_facts={"config": "learner"})
    curate(run, tmp_path / "out", policy, helpers)
    found = records(tmp_path / "out")
    confirmed = [record["sample"] for record in records(run) if record["status"] == "made" and record["sample"] % 3]
    kept = [record["sample"] for record in found if record["status"] == "made"]
    assert kept == confirmed[: -(-len(confirmed) // 2)]
    reasons = {record["sample"]: record.get("reasons", []) for record in found}
    assert "hardness is" in reasons[confirmed[-1]][0]
    assert "confidence is 0.1, below 0.5" in reasons[0][0]


def test_the_packages_policy_runs_on_a_run_of_whole_frames(run: Path, tmp_path: Path) -> None:
    """Such runs have masks in the place of the frame before: what needs one is not measured."""
    copy = tmp_path / "frames"
    shutil.copytree(run, copy)
    found = json.loads((copy / "run.json").read_text())
    found["config"]["task"] = "frames"
    (copy / "run.json").write_text(json.dumps(found))
    result = curate(copy, tmp_path / "out", read_policy())
    assert result.report["rules"]["seam"]["not_measured"] == result.report["polyps"]
    assert result.report["rules"]["rim"]["not_measured"] == 0
    with pytest.raises(ConfigurationError, match="refine by sam, or not at all"):
        curate(copy, tmp_path / "x", parse_policy({"rules": [{"refine": "difference"}]}))
