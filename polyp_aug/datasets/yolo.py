"""A folder in the text format of YOLO, as ultralytics and darknet read it: pictures, label files, `data.yaml`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from polyp_aug.datasets.base import Frame, Layout, Licence, Shape, pictures
from polyp_aug.datasets.yolo_labels import label_file, read_labels
from polyp_aug.errors import DatasetLayoutError

_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class _Data:
    """What `data.yaml` says.

    Attributes:
        file: the file.
        names: of the classes, from 0 on.
        splits: split → folders of pictures, or text files that list them.
        folders: what relative entries may be relative to, the likeliest first.
    """

    file: Path
    names: tuple[str, ...]
    splits: Mapping[str, tuple[str, ...]]
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class _Listed:
    """A picture of a split, or an entry of a list that names none."""

    image: Path
    split: str
    problem: str = ""


class Yolo(Layout):
    """Boxes and outlines of any number of classes. A picture without a label file is a frame without objects."""

    name = "yolo"
    title = "YOLO folder"
    licence = Licence("licence not stated in data.yaml")
    homepage = ""
    expected = """\
<folder>/
  data.yaml                    names; train, val, test: folders of pictures, or text files with a picture a line;
                               optional: path, which they are relative to
  images/<split>/<name>.jpg    or <split>/images/<name>.jpg, or other folders
  labels/<split>/<name>.txt    beside images; lines "class cx cy w h" or "class x1 y1 x2 y2 x3 y3 …", from 0 to 1"""

    def categories(self, root: Path) -> tuple[str, ...]:
        """See `Layout.categories`."""
        return self._data(root).names

    def frames(self, root: Path) -> Iterator[Frame]:
        """See `Layout.frames`."""
        data = self._data(root)
        listed = [found for split in data.splits for found in self._listed(root, data, split)]
        if not listed:
            raise self.error(root, f"no picture in {', '.join(text for row in data.splits.values() for text in row)}")
        labels = (label_file(root, found.image) for found in listed)
        if not any(label.is_file() for label in labels):
            first = label_file(root, listed[0].image)
            raise self.error(root, f"no label file of any of its {len(listed)} pictures, the first of which is {first}")
        return (self._frame(root, data, found) for found in listed)

    def _frame(self, root: Path, data: _Data, found: _Listed) -> Frame:
        base = data.file.parent if found.image.is_relative_to(data.file.parent) else root
        shapes: tuple[Shape, ...] | None = None
        problem = found.problem
        try:
            shapes = read_labels(label_file(root, found.image), len(data.names))
        except DatasetLayoutError as error:
            problem = problem or str(error)
        return Frame(
            found.image,
            found.image.relative_to(base).as_posix().removeprefix("images/"),
            None if shapes is None else "polyp" if shapes else "normal",
            shapes=shapes,
            split=found.split,
            problem=problem,
        )

    def _listed(self, root: Path, data: _Data, split: str) -> Iterator[_Listed]:
        for entry in data.splits[split]:
            path = _below(root, data.folders, entry)
            if path is None:
                raise self.error(root, f"{data.file.name}: {split} is {entry!r}, which isn't in this folder")
            if path.is_dir():
                yield from (_Listed(image, split) for image in pictures(path))
            else:
                yield from self._lines(root, data, path, split)

    def _lines(self, root: Path, data: _Data, path: Path, split: str) -> Iterator[_Listed]:
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise self.error(root, f"{path.relative_to(root)} can't be read as a list of pictures ({error})") from error
        for number, line in enumerate(lines, start=1):
            name = line.strip()
            if not name:
                continue
            # A list means its own folder by "./", and that of the data set otherwise.
            folders = (path.parent, *data.folders) if name.startswith("./") else (*data.folders, path.parent)
            image = _below(root, folders, name)
            if image is None or image.is_dir():
                problem = f"{path}, line {number}: {name!r}, no such picture in this folder"
                yield _Listed(root / (Path(name).name or path.name), split, problem)
            else:
                yield _Listed(image, split)

    def _data(self, root: Path) -> _Data:
        found = [path for prefix in ("", "*/", "*/*/") for path in sorted(root.glob(f"{prefix}data.yaml"))]
        if not found:
            raise self.error(root, "no data.yaml")
        file = found[0]
        try:
            document = yaml.safe_load(file.read_bytes())
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise self.error(root, f"{file.name} can't be read as YAML ({error})") from error
        if not isinstance(document, dict):
            raise self.error(root, f"{file.name} holds {document!r}, expected names and splits")
        splits = {name: self._texts(root, name, document[name]) for name in _SPLITS if document.get(name)}
        if not splits:
            raise self.error(root, f"{file.name} names none of {', '.join(_SPLITS)}")
        path = document.get("path")
        if path is not None and not isinstance(path, str):
            raise self.error(root, f"{file.name}: path is {path!r}, expected a text")
        # A data set may have been moved since: its own folder is tried as well.
        folders = (file.parent / path, file.parent) if path else (file.parent,)
        return _Data(file, self._names(root, document), splits, folders)

    def _names(self, root: Path, document: Mapping[Any, Any]) -> tuple[str, ...]:
        raw = document.get("names")
        rows = dict(enumerate(raw)) if isinstance(raw, list) else raw
        if not isinstance(rows, dict) or not rows or not all(isinstance(name, str) and name for name in rows.values()):
            raise self.error(root, f"data.yaml: names is {raw!r}, expected the name of each class")
        if set(rows) != set(range(len(rows))):
            raise self.error(root, f"data.yaml: names has the classes {list(rows)}, expected 0 to {len(rows) - 1}")
        if document.get("nc", len(rows)) != len(rows):
            raise self.error(root, f"data.yaml: nc is {document['nc']!r}, but there are {len(rows)} names")
        return tuple(rows[number] for number in range(len(rows)))

    def _texts(self, root: Path, split: str, raw: Any) -> tuple[str, ...]:
        texts = raw if isinstance(raw, list) else [raw]
        if not all(isinstance(text, str) and text for text in texts):
            raise self.error(root, f"data.yaml: {split} is {raw!r}, expected a folder, a text file, or a list of them")
        return tuple(texts)


def _below(root: Path, folders: Sequence[Path], text: str) -> Path | None:
    """The first path that `text` may mean, is there, and is below `root`; some tools write one "../" too many."""
    top = Path(os.path.abspath(root))
    for folder in folders:
        for relative in (text, text.removeprefix("../")):
            path = Path(os.path.abspath(folder / relative))
            if path.is_relative_to(top) and os.path.exists(path):
                return root / path.relative_to(top)
    return None
