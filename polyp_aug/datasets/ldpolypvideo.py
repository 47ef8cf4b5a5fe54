"""LDPolypVideo: video frames with boxes, and videos or frames without polyps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from polyp_aug.datasets.base import VIDEO_SUFFIXES, BoxXYXY, Frame, Layout, Licence, find_folders, natural_key, pictures
from polyp_aug.errors import DatasetLayoutError

_SPLITS = {"trainvalid": "train", "train": "train", "valid": "val", "val": "val", "test": "test"}
_WITHOUT = re.compile(r"(without|no)[ _-]?polyps?|negative", re.IGNORECASE)


class LdPolypVideo(Layout):
    """Annotated frames in folders by video, and a polyp-free part of videos or of folders of frames."""

    name = "ldpolypvideo"
    title = "LDPolypVideo"
    licence = Licence("LDPolypVideo: no licence stated; ask its authors")
    homepage = "https://github.com/dashishi/LDPolypVideo-Benchmark"
    expected = """\
LDPolypVideo/
  TrainValid/Images/<video>/<frame>.jpg
  TrainValid/Annotations/<video>/<frame>.txt   first line: number of boxes; then "xmin ymin xmax ymax" lines
  Test/Images/<video>/<frame>.jpg
  Test/Annotations/<video>/<frame>.txt
  WithoutPolyps/<video>.avi                    or folders of frames; also .mp4"""

    def frames(self, root: Path) -> Iterator[Frame]:
        """See `Layout.frames`."""
        annotated = find_folders(root, "Images")
        without = [path for path in find_folders(root, "*") if _WITHOUT.match(path.name)]
        without = [path for path in without if not set(path.parents).intersection(without)]
        if not annotated and not without:
            raise self.error(root, "neither an Images folder nor a folder of videos without polyps")
        for images in annotated:
            if not images.with_name("Annotations").is_dir():
                raise self.error(root, f"{images.relative_to(root)} is there, but no Annotations folder beside it")
        return self._frames(annotated, without)

    def _frames(self, annotated: list[Path], without: list[Path]) -> Iterator[Frame]:
        for images in annotated:
            part = images.parent.name
            for image in pictures(images):
                yield self._annotated(image, images, part)
        for folder in without:
            for path in [*_videos(folder), *pictures(folder)]:
                relative = path.relative_to(folder)
                video = relative.parts[0] if len(relative.parts) > 1 else relative.stem
                group = f"{self.name}-without-{video}"
                yield Frame(path, f"without_polyps/{relative.as_posix()}", "normal", group=group)

    def _annotated(self, image: Path, images: Path, part: str) -> Frame:
        relative = image.relative_to(images)
        folder = images.with_name("Annotations") / relative.parent
        # Some copies number the pictures <a>_<b>_<frame>.jpg and the texts <frame>.txt.
        texts = [folder / f"{stem}.txt" for stem in (image.stem, image.stem.rpartition("_")[2])]
        boxes: tuple[BoxXYXY, ...] | None = None
        problem = ""
        try:
            boxes = read_boxes(next((text for text in texts if text.is_file()), texts[0]))
        except DatasetLayoutError as error:
            problem = str(error)
        return Frame(
            image,
            f"{part}/{relative.as_posix()}",
            None if boxes is None else "polyp" if boxes else "normal",
            boxes_xyxy=boxes,
            split=_SPLITS.get(part.lower(), ""),
            group=f"{self.name}-{relative.parts[0]}" if len(relative.parts) > 1 else "",
            problem=problem,
        )


def _videos(folder: Path) -> list[Path]:
    found = [path for path in folder.rglob("[!.]*") if path.suffix.lower() in VIDEO_SUFFIXES]
    return sorted(found, key=lambda path: natural_key(path.as_posix()))


def read_boxes(path: Path) -> tuple[BoxXYXY, ...]:
    """The boxes of one frame, (x_min, y_min, x_max, y_max) in pixels.

    Raises:
        DatasetLayoutError: the file is missing or malformed; the message has the file and the line's number.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise DatasetLayoutError(f"{path}: no such annotation file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetLayoutError(f"{path}: can't be read ({error})") from error
    filled = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not filled or len(filled[0][1]) != 1 or not filled[0][1][0].isdecimal():
        raise DatasetLayoutError(f"{path}, line 1: {lines[0].strip()!r}, expected the number of boxes")
    boxes = []
    for number, words in filled[1:]:
        try:
            x_min, y_min, x_max, y_max = (float(word) for word in words)
        except ValueError:
            raise DatasetLayoutError(
                f"{path}, line {number}: {' '.join(words)!r}, expected 'xmin ymin xmax ymax'"
            ) from None
        boxes.append((x_min, y_min, x_max, y_max))
    if len(boxes) != int(filled[0][1][0]):
        raise DatasetLayoutError(f"{path}, line 1: {filled[0][1][0]} boxes announced, {len(boxes)} found")
    return tuple(boxes)
