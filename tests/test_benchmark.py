"""Benchmarks: the spec, the frames that all arms share, runs that a kill doesn't lose, and the report."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from captioned import save_tiny
from conftest import Phantoms

from polyp_aug.benchmark.arms import Arm, painted_config
from polyp_aug.benchmark.data import draw_frames
from polyp_aug.benchmark.execute import run_benchmark
from polyp_aug.benchmark.folder import BenchmarkFolder
from polyp_aug.benchmark.plots import plot_benchmark
from polyp_aug.benchmark.report import report_benchmark
from polyp_aug.benchmark.run import RESULT_NAME, read_result
from polyp_aug.benchmark.sets import make_set
from polyp_aug.benchmark.spec import BenchmarkSpec, Run, read_spec
from polyp_aug.coco import read_coco
from polyp_aug.errors import (
    ConfigurationError,
    MissingDependencyError,
    RunConfigurationChanged,
    RunFolderBusyError,
    RunFolderDamagedError,
)
from polyp_aug.evaluation.precision_recall import Curve
from polyp_aug.evaluation.recall import FrameMatches
from polyp_aug.images import read_image

CONFIGS = Path(__file__).resolve().parents[1] / "mmdet_configs"
ROOT = CONFIGS.parent
#: An arm of whole frames, with a setting that they don't have.
WHOLE = {"mode": "offline", "generate": {"synthesizer": "ccis_diff", "proposer": "random"}}
#: A detector of ultralytics.
YOLO = {"yolo": "yolov8n.yaml", "iterations": 2, "options": ["imgsz=64", "batch=8"]}


@pytest.fixture(scope="module")
def normal(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO set without any polyp."""
    folder = tmp_path_factory.mktemp("normal")
    names = sorted(path.name for path in phantoms.backgrounds.iterdir())
    images = [{"id": k, "file_name": f"{name}", "width": 256, "height": 216} for k, name in enumerate(names, 1)]
    (folder / "images").mkdir()
    for name in names:
        os.link(phantoms.backgrounds / name, folder / "images" / name)
    document = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "polyp"}]}
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def document(phantoms: Phantoms, normal: Path) -> dict[str, Any]:
    """A small benchmark."""
    return {
        "real": [str(phantoms.references)],
        "negatives": [str(normal)],
        "validation": str(phantoms.references),
        "test": {"all phantoms": str(phantoms.references)},
        "sizes": [4],
        "seeds": [0, 1],
        "options": [
            f"{loader}_dataloader.{name}"
            for loader in ("train", "val")
            for name in ("num_workers=0", "persistent_workers=False", "batch_size=2")
        ],
        "detectors": {"CenterNet": {"configs": str(CONFIGS / "centernet" / "centernet_mini"), "iterations": 2}},
        "arms": {
            "real": {"mode": "real"},
            "moved": {"mode": "online", "generate": {"synthesizer": "transplant", "per_image": 1}},
            "pasted": {"mode": "offline", "generate": {"synthesizer": "copy_paste", "per_image": 1}},
        },
    }


def test_a_detector_of_ultralytics_has_no_online_arms(document: dict[str, Any], tmp_path: Path) -> None:
    detectors = document["detectors"] | {"YOLOv8": YOLO | {"command": "no_such_yolo"}}
    spec = read_spec(written(document | {"detectors": detectors, "seeds": [0]}, tmp_path / "a.yaml"))
    arms = [(run.detector, run.arm) for run in spec.runs()]
    assert arms == [
        *(("CenterNet", name) for name in ("real", "moved", "pasted")),
        *(("YOLOv8", name) for name in ("real", "pasted")),
    ]
    recorded = spec.to_dict()["detectors"]
    assert set(recorded["CenterNet"]) == {"configs", "iterations", "options"}
    assert recorded["YOLOv8"] == {"yolo": "yolov8n.yaml", "iterations": 2, "options": ["imgsz=64", "batch=8"]}
    folder = BenchmarkFolder(tmp_path / "out", spec)
    assert [task.name for task in folder.sets()] == ["set:moved-4-seed0", "set:pasted-4-seed0"]
    with pytest.raises(MissingDependencyError, match="'no_such_yolo' is not there"):
        run_benchmark(tmp_path / "a.yaml", folder)
    assert not folder.path.exists()
    alone = document | {"detectors": {"YOLOv8": YOLO}, "seeds": [0]}
    folder = BenchmarkFolder(tmp_path / "out", read_spec(written(alone, tmp_path / "a.yaml")))
    assert [task.name for task in folder.sets()] == ["set:pasted-4-seed0"]


def test_a_detector_that_lacks_arms_is_reported(document: dict[str, Any], tmp_path: Path) -> None:
    """Ultralytics comes first: the arms keep the order of the spec all the same."""
    detectors = {"YOLOv8": YOLO} | document["detectors"]
    spec = read_spec(written(document | {"detectors": detectors, "seeds": [0]}, tmp_path / "a.yaml"))
    folder = BenchmarkFolder(tmp_path / "out", spec)
    for run in spec.runs():
        versions = {"ultralytics": "8.4.190"} if run.detector == "YOLOv8" else {}
        _result(folder.result(run), [(0.9 if k < 5 else None, []) for k in range(10)], versions=versions)
    report, tables = report_benchmark(folder)
    assert report["runs"] == {"done": 5, "all": 5}
    assert report["versions"]["ultralytics"] == "8.4.190"
    assert [len(table.rows) for table in tables] == [5, 3, 5]
    [picture] = plot_benchmark(report, folder.path)
    assert read_image(picture).std() > 5


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("yolo") is None, reason="ultralytics' program yolo is not on PATH")
def test_a_real_detector_of_ultralytics(document: dict[str, Any], tmp_path: Path) -> None:
    changed = document | {"detectors": {"YOLOv8": YOLO}, "seeds": [0]}
    spec_file, out = written(changed, tmp_path / "a.yaml"), tmp_path / "out"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "300", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "polyp_aug", "benchmark", str(spec_file), "--out", str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_bytes())
    assert report["runs"] == {"done": 2, "all": 2}
    assert [row["arm"] for row in report["rows"]] == ["real", "pasted"]
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", report["versions"]["ultralytics"])
    # Four frames with polyps and as many without are one batch of eight, with those of the generated set two.
    for arm, epochs in (("real", 2), ("pasted", 1)):
        training = out / "runs" / f"YOLOv8-{arm}-4-seed0" / "training"
        settings = yaml.safe_load((training / "ultralytics" / "args.yaml").read_text("utf-8"))
        assert (settings["epochs"], settings["batch"], settings["imgsz"]) == (epochs, 8, 64)
        assert len((training / "ultralytics" / "results.csv").read_text("utf-8").splitlines()) == epochs + 1
        assert sorted(path.name for path in training.iterdir()) == ["ultralytics", "yolo.txt"]
        assert not list(training.rglob("*.pt"))
    found = read_result(out / "runs" / "YOLOv8-real-4-seed0" / RESULT_NAME)["sets"]["all phantoms"]["matches"]
    assert len(found) == 10
    assert any(np.isfinite(frame.found).any() or len(frame.false) for frame in found)


def written(document: dict[str, Any], path: Path) -> Path:
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def test_the_spec_that_comes_with_the_project_is_sound() -> None:
    spec = read_spec(ROOT / "benchmarks" / "detectors.yaml")
    assert spec.baseline == "real"
    assert len(list(spec.runs())) == 24
    for detector in spec.detectors.values():
        for arm in spec.arms.values():
            assert (ROOT / detector.config(arm.mode)).is_file()


def test_runs_are_arms_by_detectors_by_seeds_by_sizes(document: dict[str, Any], tmp_path: Path) -> None:
    spec = read_spec(written(document | {"sizes": [3, 4]}, tmp_path / "a.yaml"))
    runs = list(spec.runs())
    assert len(runs) == len(set(runs)) == len({run.name for run in runs}) == 12
    assert runs[0] == Run("CenterNet", "real", 3, 0)
    assert runs[0].name == "CenterNet-real-3-seed0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, "'seeds' is empty"),
        ({"seeds": [0, 0]}, "'seeds' holds a number twice"),
        ({"sizes": [0]}, "'sizes' must be whole numbers"),
        ({"sizes": ["many"]}, "'sizes' must be whole numbers"),
        ({"colour": "red"}, "unknown setting 'colour'"),
        ({"test": ["a"]}, r"test is \['a'\], expected settings by name"),
        ({"arms": {"moved": {"mode": "online"}}}, "no arm has the mode 'real'"),
        ({"arms": {"real": {"mode": "real", "generate": {"count": 3}}}}, "settings of synthetic polyps"),
        ({"arms": {"real": {"mode": "real"}, "a": {"generate": {"count": 3}}}}, "unknown setting 'count'"),
        ({"arms": {"real": {"mode": "real"}, "a": {"generate": {"per_image": 0}}}}, "'per_image' must be at least 1"),
        ({"arms": {"real": {"mode": "real"}, "a": {"painting": {"hue": 3}}}}, "arm 'a'.*hue"),
        ({"arms": {"real": {"mode": "real"}, "a": {"mode": "later"}}}, "arm 'a': 'mode' must be one of"),
        ({"arms": {"real": {"mode": "real", "curate": "default"}}}, "settings of synthetic polyps"),
        ({"arms": {"real": {"mode": "real"}, "a": {"generate": {"synthesizer": "ccis_diff"}}}}, "must be 'offline'"),
        (
            {
                "arms": {
                    "real": {"mode": "real"},
                    "a": WHOLE,
                }
            },
            "'proposer'",
        ),
        ({"arms": {"real": {"mode": "real"}, "a": {"curate": "missing.yaml"}}}, "arm 'a': .*missing.yaml"),
        ({"arms": {"real": {"mode": "real"}, "a/b": {}}}, "'a/b' is no name"),
        ({"detectors": {"D": {"configs": "x", "iterations": 0}}}, "'iterations' of 'D' must be at least 1"),
        ({"detectors": {"D": {"configs": "x"}}}, "detectors.D: .*iterations"),
        ({"detectors": 3}, "detectors is 3, expected settings by name"),
        ({"detectors": {"D": {"iterations": 1}}}, "'D' must have either 'configs' or 'yolo'"),
        ({"detectors": {"D": {"configs": "x", "yolo": "y", "iterations": 1}}}, "'D' must have either 'configs' or"),
        ({"detectors": {"D": YOLO | {"options": ["epochs=3"]}}}, "detector 'D': .*'epochs' can't be given"),
        ({"detectors": {"D": YOLO}, "arms": {"real": {"mode": "real"}, "a": {}}}, "'D' is of ultralytics.*'offline'"),
    ],
)
def test_a_wrong_spec_is_refused(
    document: dict[str, Any], change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=rf"(?s)a\.yaml: .*{message}"):
        read_spec(written(document | change, tmp_path / "a.yaml"))


def test_a_file_that_is_no_spec_is_refused(tmp_path: Path) -> None:
    for text in ("a: [", "- 1", ""):
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(ConfigurationError, match=r"a\.yaml"):
            read_spec(tmp_path / "a.yaml")


def test_references_are_given_to_those_who_read_them(document: dict[str, Any], tmp_path: Path) -> None:
    arms = {
        "real": {"mode": "real"},
        "moved": {"generate": {"synthesizer": "transplant", "polyps_per_image": [1, 2]}},
        "painted": {"generate": {"synthesizer": "polyp_gen"}, "painting": {"num_inference_steps": 2}},
        "prior": {"generate": {"synthesizer": "polyp_gen", "proposer": "reference"}},
    }
    spec = read_spec(written(document | {"arms": arms}, tmp_path / "a.yaml"))
    settings = {name: painted_config(arm, Path("frames"), 5) for name, arm in spec.arms.items() if name != "real"}
    assert [item.references for item in settings.values()] == [Path("frames"), None, Path("frames")]
    assert settings["moved"].polyps_per_image == (1, 2)
    assert settings["painted"].painting is not None
    assert settings["painted"].painting.num_inference_steps == 2
    assert {item.seed for item in settings.values()} == {5}
    assert {item.per_image for item in settings.values()} == {1}


def test_a_set_is_curated_and_what_it_was_made_from_stays(phantoms: Phantoms, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules:\n  - {score: agreement, at_least: 1000}\n")
    arm = Arm(mode="offline", generate={"synthesizer": "copy_paste"}, curate=str(policy))
    out = tmp_path / "sets" / "a"
    make_set(arm, phantoms.references, 3, out)
    made, kept = read_coco(tmp_path / "sets" / "uncurated" / "a"), read_coco(out)
    assert (len(made.images) > 0, len(kept.images)) == (True, 0)


def test_a_set_of_whole_frames_has_as_many_as_there_are_polyps(phantoms: Phantoms, tmp_path: Path) -> None:
    arm = Arm(
        mode="offline",
        generate={"synthesizer": "ccis_diff", "per_image": 2, "check": False},
        painting={"weights": str(save_tiny(tmp_path / "weights")), "num_inference_steps": 1},
    )
    make_set(arm, phantoms.references, 3, tmp_path / "out")
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    shown = {item.image_id for item in read_coco(phantoms.references).annotations}
    assert (run["config"]["count"], run["config"]["seed"]) == (2 * len(shown), 3)


def test_frames_are_drawn_by_the_seed_and_nested(document: dict[str, Any], tmp_path: Path) -> None:
    spec = read_spec(written(document, tmp_path / "a.yaml"))
    names: dict[tuple[int, int], set[str]] = {}
    for size, seed in ((3, 0), (6, 0), (6, 1)):
        dataset = read_coco(draw_frames(spec, size, seed, tmp_path / f"{size}-{seed}"))
        polyps = dataset.by_image()
        names[size, seed] = {image.file_name for image in dataset.images if polyps[image.id]}
        assert len(names[size, seed]) == size
        assert sum(not polyps[image.id] for image in dataset.images) == size
    assert names[3, 0] < names[6, 0] != names[6, 1]
    stamp = (tmp_path / "3-0" / "frames" / "annotations.json").stat().st_mtime_ns
    draw_frames(spec, 3, 0, tmp_path / "3-0")
    assert (tmp_path / "3-0" / "frames" / "annotations.json").stat().st_mtime_ns == stamp
    with pytest.raises(ConfigurationError, match="has 6 frames, 9 are to be drawn"):
        draw_frames(spec, 9, 0, tmp_path / "9-0")


def test_a_folder_is_of_one_benchmark_that_may_grow(document: dict[str, Any], tmp_path: Path) -> None:
    def settle(**changes: Any) -> None:
        spec = read_spec(written(document | changes, tmp_path / "a.yaml"))
        BenchmarkFolder(tmp_path / "out", spec).settle()

    settle()
    settle(seeds=[0, 1, 2], sizes=[4, 5])
    with pytest.raises(RunConfigurationChanged, match="'sizes' was"):
        settle()
    with pytest.raises(RunConfigurationChanged, match="'amp' was False, is True"):
        settle(seeds=[0, 1, 2], sizes=[4, 5], amp=True)
    with BenchmarkFolder(tmp_path / "out", read_spec(tmp_path / "a.yaml")).locked():
        other = BenchmarkFolder(tmp_path / "out", read_spec(tmp_path / "a.yaml"))
        with pytest.raises(RunFolderBusyError, match="working on this benchmark"), other.locked():
            pass


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_benchmark_goes_on_and_is_reported(document: dict[str, Any], tmp_path: Path) -> None:
    """Killed once a training is done; what it started ends too, and what was done isn't done again."""
    spec_file, out = written(document, tmp_path / "a.yaml"), tmp_path / "out"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "300", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "polyp_aug", "benchmark", str(spec_file), "--out", str(out), "--jobs", "2"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(out.glob(f"runs/*/{RESULT_NAME}")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _wait(lambda: not _working(out))
    done = {path: path.stat().st_mtime_ns for path in out.glob(f"runs/*/{RESULT_NAME}")}
    assert 1 <= len(done) < 6
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert {path: path.stat().st_mtime_ns for path in done} == done
    report = json.loads((out / "report.json").read_bytes())
    assert report["runs"] == {"done": 6, "all": 6}
    assert [(row["arm"], len(row["ap_by_seed"])) for row in report["rows"]] == [
        ("real", 2),
        ("moved", 2),
        ("pasted", 2),
    ]
    assert ["difference" in row for row in report["rows"]] == [False, True, True]
    assert "Difference in AP to real frames only" in finished.stdout
    assert f"Wrote {out / 'all_phantoms.png'}" in finished.stdout
    assert min(read_image(out / "all_phantoms.png").shape[:2]) > 100
    assert not list(out.glob("runs/*/training/*.pth"))
    again = subprocess.run([*command, "--report-only"], env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert json.loads((out / "report.json").read_bytes()) == report
    (out / "runs" / "CenterNet-real-4-seed0" / RESULT_NAME).write_bytes(b"damaged")
    with pytest.raises(RunFolderDamagedError, match="can't be read as the result of a run"):
        report_benchmark(BenchmarkFolder(out, read_spec(spec_file)))
    (out / "runs" / "CenterNet-real-4-seed0" / RESULT_NAME).unlink()
    broken = written(document | {"options": [*document["options"], "model.neck.in_channels=3"]}, tmp_path / "b.yaml")
    wrong = subprocess.run(
        [*command[:4], str(broken), "--out", str(tmp_path / "broken")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 1
    assert "ended with 1; see" in wrong.stderr
    assert (tmp_path / "broken" / "sets" / "moved-4-seed0" / "annotations.json").exists()


def _working(out: Path) -> bool:
    """Whether any process names the folder in its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(out).encode() in path.read_bytes():
                return True
        except OSError:
            continue
    return False


def _wait(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def _result(
    path: Path,
    scores: list[tuple[float | None, list[float]]],
    threshold: float | None = 0.5,
    versions: dict[str, str] | None = None,
) -> None:
    """The result of a run that found an object of each frame with a score, or not, and false ones."""
    import gzip

    matches = [{"found": [score], "false": false} for score, false in scores]
    sets = {"all phantoms": {"coco": {"AP": 0.1, "AP50": 0.2, "AP75": 0.3}, "matches": matches}}
    path.parent.mkdir(parents=True)
    path.write_bytes(
        gzip.compress(
            json.dumps(
                {"run": {}, "threshold": threshold, "sets": sets} | ({"versions": versions} if versions else {})
            ).encode()
        )
    )


def test_the_report_is_a_mean_of_seeds_and_of_pairs(document: dict[str, Any], tmp_path: Path) -> None:
    """Written results with known scores; frames of the phantoms with more than one polyp don't matter here."""
    spec = read_spec(written(document, tmp_path / "a.yaml"))
    folder = BenchmarkFolder(tmp_path / "out", spec)
    found: dict[tuple[str, int], list[tuple[float | None, list[float]]]] = {
        ("real", 0): [(0.9 if k < 5 else None, []) for k in range(10)],
        ("real", 1): [(0.9 if k < 7 else None, []) for k in range(10)],
        ("moved", 0): [(0.9 if k < 8 else None, []) for k in range(10)],
        ("moved", 1): [(0.9 if k < 8 else None, [0.95] if k == 0 else []) for k in range(10)],
        ("pasted", 0): [(None, []) for _ in range(10)],
    }
    for (arm, seed), scores in found.items():
        _result(folder.result(Run("CenterNet", arm, 4, seed)), scores, None if arm == "pasted" else 0.5)
    report, tables = report_benchmark(folder)
    rows = {row["arm"]: row for row in report["rows"]}
    groups = [str(k) for k in range(10)]
    single = {
        key: float(
            Curve.of(
                [FrameMatches(np.array([-math.inf if s is None else s]), np.array(f)) for s, f in value], groups
            ).average_precision()[0]
        )
        for key, value in found.items()
    }
    assert single["real", 0] == pytest.approx(0.5)
    assert rows["real"]["ap"]["value"] == pytest.approx((0.5 + 0.7) / 2)
    assert rows["real"]["recall"]["value"] == pytest.approx(0.6)
    assert rows["moved"]["ap"]["value"] == pytest.approx((single["moved", 0] + single["moved", 1]) / 2)
    difference = rows["moved"]["difference"]
    assert difference["by_seed"] == pytest.approx([0.3, single["moved", 1] - 0.7])
    assert difference["value"] == pytest.approx(np.mean(difference["by_seed"]))
    assert difference["low"] <= difference["value"] <= difference["high"]
    assert 0 < difference["p"] < 0.2
    assert rows["pasted"]["ap"]["value"] == rows["pasted"]["f1"]["value"] == 0.0
    assert rows["pasted"]["difference"]["by_seed"] == pytest.approx([-0.5])
    assert report["runs"] == {"done": 5, "all": 6}
    assert rows["real"]["coco"] == {"AP": 0.1, "AP50": 0.2, "AP75": 0.3}
    assert [len(table.rows) for table in tables] == [3, 2, 3]
    assert "| all phantoms | 4 | CenterNet | moved |" in (folder.path / "report.md").read_text("utf-8")
    [picture] = plot_benchmark(report, folder.path)
    assert picture.name == "all_phantoms.png"
    assert read_image(picture).std() > 5
    assert read_result(folder.result(Run("CenterNet", "pasted", 4, 0)))["threshold"] == math.inf


def test_nothing_done_gives_no_rows(document: dict[str, Any], tmp_path: Path) -> None:
    spec: BenchmarkSpec = read_spec(written(document, tmp_path / "a.yaml"))
    folder = BenchmarkFolder(tmp_path / "out", spec)
    folder.settle()
    report, _ = report_benchmark(folder)
    assert report["rows"] == []
    assert plot_benchmark(report, folder.path) == []
