"""Comparisons of synthesizers: the file that says what is compared, cells that are kept, tables, CSV and plots."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_evaluation_picture_sets import Thumbnails
from test_evaluation_polyps import write_set

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.compare import compare_methods
from polyp_aug.evaluation.compare_spec import Comparison, RealData, read_comparison
from polyp_aug.evaluation.images import SetSource, evaluate_images
from polyp_aug.evaluation.picture_sets import Choice
from polyp_aug.evaluation.polyp_tables import TRAIN
from polyp_aug.images import read_image


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real frames of two data sets, and what two methods made, one of them of the first data set only."""
    root = tmp_path_factory.mktemp("sets")
    for seed, name in enumerate(("a_real", "a_train", "b_real", "one_a", "one_b", "two_a")):
        write_set(root / name, seed, "synthetic" if name.startswith(("one", "two")) else None)
    return root


def comparison(sets: Path, **settings: Any) -> Comparison:
    data = {"Set A": RealData(sets / "a_real", sets / "a_train"), "B": RealData(sets / "b_real")}
    methods = {"one": {"Set A": sets / "one_a", "B": sets / "one_b"}, "two": {"Set A": sets / "two_a"}}
    return Comparison(**{"data": data, "methods": methods, "seed": 3, **settings})


def test_every_cell_is_measured_once_and_as_evaluate_images_does(sets: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    extractor = Thumbnails()
    found = compare_methods(comparison(sets), [extractor], tmp_path / "out", observer=lines.append)
    assert lines == [
        "Set A, real train: measuring",
        "Set A, one: measuring",
        "Set A, two: measuring",
        "B, one: measuring",
    ]
    cells = {(cell["data"], cell["method"]): cell for cell in found.report["cells"]}
    assert list(cells) == [("Set A", TRAIN), ("Set A", "one"), ("Set A", "two"), ("B", "one")]
    expected = evaluate_images(
        SetSource(sets / "a_real"),
        {"one": SetSource(sets / "one_a"), "two": SetSource(sets / "two_a")},
        tmp_path / "alone",
        extractors=[extractor],
        train=SetSource(sets / "a_train"),
        choice=Choice(seed=3),
    ).report
    for name in (TRAIN, "one", "two"):
        [network] = cells["Set A", name]["networks"]
        for key, by_set in expected["extractors"][0]["measures"].items():
            assert network["measures"].get(key) == by_set.get(name), (name, key)
        assert cells["Set A", name]["diversity"] == expected["diversity"]["measures"][name]
    assert "close" not in cells["B", "one"]["networks"][0]["measures"]
    text = (tmp_path / "out" / "report.json").read_text("utf-8")
    assert json.loads(text) == found.report
    assert str(sets) not in text


def test_finished_cells_are_kept_and_changed_ones_measured_anew(sets: Path, tmp_path: Path) -> None:
    for name in ("a_real", "a_train", "b_real", "one_a", "one_b", "two_a"):
        (tmp_path / name / "images").mkdir(parents=True)
        for file in (*(sets / name).glob("*.json"), *(sets / name / "images").iterdir()):
            (tmp_path / name / file.relative_to(sets / name)).write_bytes(file.read_bytes())
    out = tmp_path / "out"
    first = compare_methods(comparison(tmp_path), [Thumbnails()], out)
    before = {path: path.read_bytes() for path in out.glob("*.*")}
    lines: list[str] = []
    extractor = Thumbnails()
    again = compare_methods(comparison(tmp_path), [extractor], out, observer=lines.append)
    assert again == first
    assert extractor.seen == 0
    assert all(line.endswith(": measured before") for line in lines)
    assert {path: path.read_bytes() for path in out.glob("*.*")} == before
    # A cell that was lost, one whose file is damaged, and one whose pictures changed.
    (out / "cells" / "Set A" / "one.json").unlink()
    (out / "cells" / "B" / "one.json").write_text('{"settings": ')
    (tmp_path / "two_a" / "images" / "4.png").write_bytes((tmp_path / "two_a" / "images" / "5.png").read_bytes())
    lines.clear()
    changed = compare_methods(comparison(tmp_path), [extractor], out, observer=lines.append)
    assert [line for line in lines if "before" not in line] == [
        "Set A, one: measuring",
        "Set A, two: measuring",
        "B, one: measuring",
    ]
    # All pictures have been looked at before.
    assert extractor.seen == 0
    pairs = zip(changed.report["cells"], first.report["cells"], strict=True)
    assert [cell["method"] for cell, old in pairs if cell != old] == ["two"]
    lines.clear()
    compare_methods(comparison(tmp_path, seed=4), [extractor], out, observer=lines.append)
    assert all(line.endswith(": measuring") for line in lines)


def test_tables_csv_and_plots_show_the_cells(sets: Path, tmp_path: Path) -> None:
    found = compare_methods(comparison(sets), [Thumbnails()], tmp_path)
    cells = {(cell["data"], cell["method"]): cell["networks"][0]["measures"] for cell in found.report["cells"]}
    across = found.tables[0]
    assert across.title == "All data sets: Thumbnails"
    assert list(across.columns[:2]) == ["method", "Set A: Fréchet distance (Thumbnails) ↓"]
    rows = {row[0]: row for row in across.rows}
    assert list(rows) == ["real train (floor)", "one", "two"]
    place = list(across.columns).index("B: Fréchet distance (Thumbnails) ↓")
    assert rows["two"][place] == ""
    assert rows["one"][place].startswith(f"{cells['B', 'one']['frechet_distance']['value']:.2f} (")
    values = {name: cells["Set A", name]["frechet_distance"]["value"] for name in ("one", "two")}
    best = min(values, key=lambda name: values[name])
    assert [name for name in ("one", "two") if rows[name][1].startswith("**")] == [best]
    assert not rows["real train (floor)"][1].startswith("**")
    titles = [table.title for table in found.tables]
    blocks = "EfficientNet-Lite0's blocks"
    assert titles[1:] == ["Set A: Thumbnails", f"Set A: {blocks}", "B: Thumbnails", f"B: {blocks}"]
    with open(tmp_path / "results.csv", encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == 7 + 1 + 2 * (8 + 1) + 7 + 1
    [line] = [line for line in lines if (line["data"], line["method"], line["measure"]) == ("B", "one", "recall")]
    assert float(line["value"]) == cells["B", "one"]["recall"]["value"]
    assert (line["network"], line["pictures"], line["better"]) == ("Thumbnails", "12", "higher")
    plots = sorted(path.name for path in tmp_path.glob("*.png"))
    assert len(plots) == 9
    assert "frechet_distance-Thumbnails.png" in plots
    assert read_image(tmp_path / plots[0]).shape[1] > 500
    markdown = (tmp_path / "report.md").read_text("utf-8")
    assert "**Pictures.** Whole frames" in markdown
    assert "Warning" in markdown


def spec(sets: Path, **changes: Any) -> dict[str, Any]:
    paths = {name: str(sets / name) for name in ("a_real", "a_train", "b_real", "one_a", "one_b", "two_a")}
    return {
        "data": {"Set A": {"real": paths["a_real"], "train": paths["a_train"]}, "B": {"real": paths["b_real"]}},
        "methods": {"one": {"Set A": paths["one_a"], "B": paths["one_b"]}, "two": {"Set A": paths["two_a"]}},
        **changes,
    }


def test_a_comparison_is_read(sets: Path, tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump(spec(sets)))
    assert read_comparison(file) == comparison(sets, seed=0)
    settings = {"extractors": ["inception"], "crops": True, "every_object": ["two"], "count": 5, "seed": 2}
    file.write_text(yaml.safe_dump(spec(sets, **settings)))
    found = read_comparison(file)
    assert (found.extractors, found.crops, found.every_object, found.count) == (("inception",), True, ("two",), 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, "the file: unknown setting 'colour', expected data, methods, extractors"),
        ({"data": {"Set A": {"real": "{sets}/a_real", "test": "x"}}}, "data.Set A: unknown setting 'test'"),
        ({"data": {"Set A": {"train": "x"}}}, "data.Set A: no setting 'real'"),
        ({"data": {"Set A": {"real": 7}}}, "data.Set A.real is 7, expected a path"),
        (
            {"data": {"Set A": {"real": "{sets}/none"}, "B": {"real": "{sets}/b_real"}}},
            "data.Set A.real: .*none doesn't",
        ),
        (
            {"data": {"../A": {"real": "{sets}/a_real"}}, "methods": {"one": {"../A": "{sets}/one_a"}}},
            "'../A' is no name",
        ),
        ({"data": []}, r"data is \[\], expected settings by name"),
        ({"data": {}}, "'data' is empty"),
        ({"methods": {"real": {"B": "{sets}/one_b"}}}, "'real' is no name of a data set or method"),
        ({"methods": {"one": {}}}, "method 'one' has no data set"),
        ({"methods": {"one": {"C": "{sets}/one_b"}}}, "method 'one' names the data set 'C', which 'data' lacks"),
        ({"methods": {"one": {"B": "{sets}/gone"}}}, "methods.one.B: .*gone doesn't exist"),
        ({"every_object": ["three"]}, "'every_object' names 'three', which is no method"),
        ({"every_object": "one"}, "'every_object' is 'one', expected a list of names"),
        ({"extractors": []}, "'extractors' is empty"),
        ({"extractors": [1]}, r"'extractors' is \[1\], expected a list of names"),
        ({"crops": "yes please"}, "'crops' must be true or false"),
        ({"count": 0}, "'count' of at least 1"),
        ({"seed": 1.5}, "'seed' and 'count' must be whole numbers"),
    ],
)
def test_flaws_of_a_comparison_are_named(changes: dict[str, Any], message: str, sets: Path, tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    text = yaml.safe_dump(spec(sets, **changes)).replace("{sets}", str(sets))
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=message) as raised:
        read_comparison(file)
    assert str(raised.value).startswith(str(file))


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml: can't be read as YAML"):
        read_comparison(tmp_path / "none.yaml")
    (tmp_path / "spec.yaml").write_text("{data: [")
    with pytest.raises(ConfigurationError, match=r"spec\.yaml: can't be read as YAML"):
        read_comparison(tmp_path / "spec.yaml")
