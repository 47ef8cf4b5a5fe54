"""SUN Colonoscopy Video Database: video frames with boxes, and polyp-free frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from polyp_aug.datasets.base import BoxXYXY, Frame, Layout, Licence, find_folders, pictures
from polyp_aug.errors import DatasetLayoutError


@dataclass
class _Entry:
    """What an annotation file says of one picture."""

    boxes: list[BoxXYXY] = field(default_factory=list)
    problem: str = ""


class Sun(Layout):
    """Cases of the positive archives have a text file each; cases below a folder named "…negative…" hold no polyps."""

    name = "sun"
    title = "SUN Colonoscopy Video Database"
    licence = Licence(
        "SUN database: on request; no commercial use, no redistribution", "http://amed8k.sundatabase.org/"
    )
    homepage = "http://amed8k.sundatabase.org/"
    expected = """\
SUN/
  sundatabase_positive_part1/annotation_txt/case<N>.txt   lines "<file> x_min,y_min,x_max,y_max,class_id"
  sundatabase_positive_part1/case<N>/<file>.jpg
  sundatabase_positive_part2/case<N>/<file>.jpg
  sundatabase_negative_part1/case<N>/<file>.jpg           … part4, no annotations"""

    def frames(self, root: Path) -> Iterator[Frame]:
        """See `Layout.frames`."""
        cases = find_folders(root, "case*")
        if not cases:
            raise self.error(root, "no folder named case<N>")
        texts = {text.stem: text for folder in find_folders(root, "annotation_txt") for text in folder.glob("*.txt")}
        if not texts and not all(_negative(case, root) for case in cases):
            raise self.error(root, "no annotation_txt folder with case<N>.txt files")
        return self._frames(root, cases, texts)

    def _frames(self, root: Path, cases: list[Path], texts: dict[str, Path]) -> Iterator[Frame]:
        for case in cases:
            if _negative(case, root):
                for image in pictures(case):
                    name = f"negative/{case.name}/{image.relative_to(case).as_posix()}"
                    yield Frame(image, name, "normal", group=f"{self.name}-negative-{case.name}")
            elif case.name in texts:
                yield from self._annotated(case, texts[case.name])
            else:
                for image in pictures(case):
                    yield self._frame(image, case, _Entry(problem=f"no annotation_txt/{case.name}.txt"))

    def _annotated(self, case: Path, text: Path) -> Iterator[Frame]:
        entries = _read_entries(text)
        for image in pictures(case):
            entry = entries.pop(image.name, None) or _Entry(problem=f"{text}: no line for {image.name}")
            yield self._frame(image, case, entry)
        for name, entry in entries.items():
            problem = entry.problem or f"{text}: names {name}, which isn't in {case.name}"
            yield self._frame(case / name, case, _Entry(problem=problem))

    def _frame(self, image: Path, case: Path, entry: _Entry) -> Frame:
        return Frame(
            image,
            f"positive/{case.name}/{image.relative_to(case).as_posix()}",
            None if entry.problem else "polyp" if entry.boxes else "normal",
            boxes_xyxy=tuple(entry.boxes),
            group=f"{self.name}-{case.name}",
            problem=entry.problem,
        )


def _negative(case: Path, root: Path) -> bool:
    return "negative" in case.parent.relative_to(root).as_posix().lower()


def _read_entries(text: Path) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    try:
        lines = text.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    except OSError as error:
        raise DatasetLayoutError(f"{text}: can't be read ({error})") from error
    for number, line in enumerate(lines, start=1):
        name, _, rest = line.strip().partition(" ")
        if not name:
            continue
        # A name is looked up among the case's own pictures, so it must be a plain file name.
        entry = entries.setdefault(Path(name).name or name.replace("/", "_"), _Entry())
        try:
            x_min, y_min, x_max, y_max, class_id = (float(word) for word in rest.split(","))
        except ValueError:
            entry.problem = f"{text}, line {number}: {rest.strip()!r}, expected 'x_min,y_min,x_max,y_max,class_id'"
            continue
        if class_id not in (0, 1):
            entry.problem = f"{text}, line {number}: class {class_id:g}, expected 0 (polyp) or 1 (no polyp)"
        elif class_id == 0:
            entry.boxes.append((x_min, y_min, x_max, y_max))
    return entries
