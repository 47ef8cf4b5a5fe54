"""A folder of pictures described by a `manifest.csv`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from polyp_aug.coco.paths import relative_name
from polyp_aug.datasets.base import CC_BY_4, BoxXYXY, Frame, FrameKind, Layout, Licence
from polyp_aug.errors import CocoError, DatasetLayoutError

_LICENCES = {CC_BY_4.name: CC_BY_4}


class Manifest(Layout):
    """One row a picture; licence, data set, split and group stand in the row."""

    name = "manifest"
    title = "Folder with manifest.csv"
    licence = Licence("licence not stated in manifest.csv")
    homepage = ""
    expected = """\
<folder>/
  manifest.csv   columns: file, kind (polyp or normal); optional: mask, boxes_xywh (JSON), split, dataset, licence,
                 group, source
  <file>, <mask> relative to the folder"""

    def frames(self, root: Path) -> Iterator[Frame]:
        """See `Layout.frames`."""
        path = root / "manifest.csv"
        if not path.is_file():
            raise self.error(root, "no manifest.csv")
        return self._frames(root, path, self.rows(root, path, ("file", "kind")))

    def _frames(self, root: Path, path: Path, rows: list[tuple[int, dict[str, str]]]) -> Iterator[Frame]:
        for line, row in rows:
            yield self._frame(root, row, f"{path}, line {line}")

    def _frame(self, root: Path, row: Mapping[str, str], where: str) -> Frame:
        kind: FrameKind | None = None
        boxes: tuple[BoxXYXY, ...] | None = None
        problem = ""
        mask = row.get("mask", "")
        try:
            kind = _kind(row["kind"], where)
            relative_name(row["file"])
            if mask:
                relative_name(mask)
            else:
                boxes = _boxes(row.get("boxes_xywh", ""), where)
        except DatasetLayoutError as error:
            problem = str(error)
        except CocoError as error:
            problem = f"{where}: {error}"
        licence = row.get("licence", "")
        return Frame(
            root / row["file"],
            row["file"],
            kind,
            root / mask if mask else None,
            boxes,
            split=row.get("split", ""),
            group=row.get("group", ""),
            dataset=row.get("dataset", ""),
            licence=_LICENCES.get(licence, Licence(licence)) if licence else None,
            problem=problem,
            extra={"origin": row["source"]} if row.get("source") else {},
        )


def _kind(text: str, where: str) -> FrameKind:
    if text == "polyp":
        return "polyp"
    if text == "normal":
        return "normal"
    raise DatasetLayoutError(f"{where}: kind {text!r}, expected 'polyp' or 'normal'")


def _boxes(text: str, where: str) -> tuple[BoxXYXY, ...] | None:
    if not text:
        return None
    try:
        return tuple((x, y, x + width, y + height) for x, y, width, height in json.loads(text))
    except (TypeError, ValueError):
        raise DatasetLayoutError(
            f"{where}: boxes_xywh {text!r}, expected a JSON list of [x, y, width, height]"
        ) from None
