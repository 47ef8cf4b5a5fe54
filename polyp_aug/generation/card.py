"""The data-set card: `README.md` of a run folder, from the run's settings and counts over its records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from polyp_aug.errors import RunFolderDamagedError
from polyp_aug.generation.card_texts import ADDED, MADE, REMOVED, CardTexts
from polyp_aug.generation.facts import flatten, readable
from polyp_aug.generation.run_folder import FRAMES, REMOVAL, task_of
from polyp_aug.generation.tally import CardStatistics, quantile
from polyp_aug.images import write_bytes

#: Most rows of the tables of references and of failures.
MAX_ROWS = 20

#: Quantiles in the table of sizes.
QUANTILES = {"smallest": 0.0, "10 %": 0.1, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "90 %": 0.9, "largest": 1.0}

_LOADING = """## How to load it

```python
from pycocotools.coco import COCO

coco = COCO("annotations.json")
image = coco.loadImgs(coco.getImgIds()[0])[0]
objects = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
masks = [coco.annToMask(item) for item in objects if item.get("segmentation")]
```

MMDetection, as an addition to the real training set (`real`) that it was made for. The names in `classes` must be those
of `categories` in `annotations.json`, in the same order:

```python
synthetic = dict(
    type="CocoDataset",
    data_root="path/to/this/folder/",
    ann_file="annotations.json",
    data_prefix=dict(img="images/"),
    metainfo=dict(classes={classes}),
    filter_cfg=dict(filter_empty_gt=False),
    pipeline=train_pipeline,
)
train_dataloader = dict(dataset=dict(_delete_=True, type="ConcatDataset", datasets=[real, synthetic]))
```
"""

_ROUNDING = """
A diffusion model painted. On one kind of processor, with as many threads, equal settings give equal bytes; other
batches (another batch size, shards) or another processor give pictures that agree up to rounding.
"""

_REPRODUCTION = """\
The same inputs, settings and versions give the same plan for every sample, whatever the number of workers, shards and
batches. `run.json` has all three, and the `key` in each record of `manifest.jsonl` is the address of its randomness.
"""


def write_card(out: Path, run: Mapping[str, Any], statistics: CardStatistics) -> None:
    """Write `README.md` into a run folder; the same arguments give the same bytes.

    Args:
        out: the run folder; it must exist.
        run: content of `run.json`: `config`, `inputs` and `versions`, JSON objects. All their values go into the card.
        statistics: counts over the run's records.

    Raises:
        RunFolderDamagedError: `run` lacks one of the three, or one is not an object.
        StorageError: the card can't be written.
    """
    for name in ("config", "inputs", "versions"):
        if not isinstance(run.get(name), Mapping):
            raise RunFolderDamagedError(f"run.json: {name!r} is {run.get(name)!r}, expected an object")
    task = task_of(run)
    texts = {REMOVAL: REMOVED, FRAMES: MADE}.get(task, ADDED)
    painted = statistics.removed if task == REMOVAL else statistics.synthetic
    sections = [
        texts.head.format(made=f"{statistics.made:,}", painted=f"{painted:,}"),
        texts.files,
        _counts(statistics, texts, painted),
        _sizes(statistics, texts.noun),
        _sources(statistics, texts),
        _how(run, statistics, texts.noun),
        _LOADING.format(classes=_classes(statistics)),
        _failures(statistics),
        texts.limits,
        _reproduction(run),
    ]
    text = "\n".join(section for section in sections if section)
    write_bytes(out / "README.md", text.encode("utf-8", "replace"))


def cell(value: object) -> str:
    """Plain text for a cell of a Markdown table: on one line, and no character of it is read as Markdown or HTML."""
    text = re.sub(r"([\\`*\[\]<>|~$&!])", r"\\\1", readable(value).strip())
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    """A Markdown table; columns of numbers stand at the right."""
    lines = list(rows)
    numeric = [
        bool(lines) and all(isinstance(row[column], int | float) for row in lines) for column in range(len(head))
    ]
    text = [f"| {' | '.join(head)} |", f"|{'|'.join('---:' if right else '---' for right in numeric)}|"]
    for row in lines:
        cells = (f"{value:,}" if isinstance(value, int | float) else cell(value) for value in row)
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


def _counts(statistics: CardStatistics, texts: CardTexts, painted: int) -> str:
    rows: list[tuple[object, ...]] = [
        ("frames made", statistics.made),
        ("samples skipped", statistics.skipped),
        (texts.noun, painted),
        *([(texts.others, statistics.source)] if texts.others else []),
        *(
            (f"frames with {number} {texts.noun.removesuffix('s')}(s)", count)
            for number, count in statistics.polyps_per_frame.items()
        ),
        *((f"objects of category {name}", count) for name, count in statistics.categories.items()),
    ]
    return "## Counts\n\n" + table(("What", "Number"), rows)


def _sizes(statistics: CardStatistics, noun: str) -> str:
    if not statistics.diameters:
        return ""
    rows = [
        ("diameter, px", *(quantile(statistics.diameters, q) for q in QUANTILES.values())),
        ("share of the frame, %", *(quantile(statistics.shares, q) / 10 for q in QUANTILES.values())),
    ]
    note = "The diameter is that of a disc of the mask's area. Diameters are rounded to 1 px, shares to 0.1 %.\n"
    return f"## Sizes of the {noun}\n\n" + table(("Size", *QUANTILES), rows) + "\n" + note


def _sources(statistics: CardStatistics, texts: CardTexts) -> str:
    head = ("Used as", "Data set", "Split", "Licence", "Number")
    rows = [
        (use, *(name or "unknown" for name in source), count)
        for use, sources in ((texts.frame, statistics.backgrounds), ("reference polyp", statistics.reference_sources))
        for source, count in sources.items()
    ]
    return "## Sources and licences\n\n" + table(head, rows) if rows else ""


def _how(run: Mapping[str, Any], statistics: CardStatistics, noun: str) -> str:
    parts = ["## How it was made\n"]
    if statistics.methods:
        rows = [(*method, count) for method, count in statistics.methods.items()]
        parts.append(table(("Proposer (where)", "Synthesizer (what)", noun.capitalize()), rows))
    for title, settings in (("Setting", run["config"]), ("Input", run["inputs"])):
        if facts := flatten(settings):
            parts.append(table((title, "Value"), facts))
    if statistics.references:
        top = sorted(statistics.references.items(), key=lambda item: (-item[1], item[0]))
        used = f"{len(top):,} reference polyp(s) were used"
        parts.append(f"{used}, these most often:\n" if len(top) > MAX_ROWS else f"{used}:\n")
        parts.append(table(("Reference", "New polyps"), top[:MAX_ROWS]))
    return "\n".join(parts)


def _classes(statistics: CardStatistics) -> str:
    return repr(tuple(readable(name) for name in statistics.categories) or ("polyp",))


def _failures(statistics: CardStatistics) -> str:
    rows = [
        (what, failure.reason, failure.count, failure.example)
        for what, failures in (("sample skipped", statistics.skips), ("polyp rejected", statistics.rejections))
        for failure in failures[:MAX_ROWS]
    ]
    parts = [table(("What", "Reason", "Times", "First example"), rows)] if rows else []
    if statistics.unreadable:
        parts.append(
            table(("Background that could not be read", "Samples that lost it"), statistics.unreadable.items())
        )
    return "## What failed\n\n" + "\n\n".join(parts) if parts else ""


def _reproduction(run: Mapping[str, Any]) -> str:
    versions = "; ".join(f"{cell(name)} {cell(value)}" for name, value in flatten(run["versions"]))
    seed = run["config"].get("seed")
    known = [f"Seed {cell(seed)}." if seed is not None else "", f"Versions: {versions}." if versions else ""]
    line = " ".join(part for part in known if part)
    rounding = _ROUNDING if "painting" in run["config"] else ""
    return f"## Reproducing it\n\n{line}\n\n{_REPRODUCTION}{rounding}"
