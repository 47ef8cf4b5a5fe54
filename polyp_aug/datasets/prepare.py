"""From a published data set to one COCO folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from polyp_aug.coco.model import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, CocoLicense
from polyp_aug.coco.write import write_coco
from polyp_aug.datasets.base import Frame, Layout, Licence
from polyp_aug.datasets.polyps import Polyp, frame_polyps
from polyp_aug.datasets.registry import find_layout
from polyp_aug.datasets.report import PrepareReport, SkippedFrame, count_splits
from polyp_aug.datasets.video import video_frames
from polyp_aug.errors import ConfigurationError, DatasetLayoutError, ImageError, StorageError
from polyp_aug.images import MAX_PIXELS, ImageArray, read_image, write_bytes, write_png

KindFilter = Literal["all", "polyp", "normal"]
ImageMode = Literal["copy", "hardlink", "none"]

_NAMED_IN_ERROR = 3


def prepare_dataset(
    name: str,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    split: str | None = None,
    kind: KindFilter = "all",
    images: ImageMode = "copy",
    max_pixels: int = MAX_PIXELS,
    video_step: int = 25,
) -> PrepareReport:
    """Convert a published data set to `out/annotations.json`, `out/images/` and `out/prepare_report.json`.

    Each 8-connected component of a mask becomes one annotation if it has at least `min_component_pixels` pixels: 32 in
    a 512-pixel frame. Boxes without masks are written without a segmentation; their area is the box's, and they are cut
    at the frame's border. Outlines become polygons. Frames without polyps become images without annotations. Frames are
    read one at a time.

    A frame that can't be used is left out and named in the report: picture or mask unreadable or missing, mask of
    another size, malformed annotation, no polyp in a frame that is published as one.

    Args:
        name: name of the layout, see `LAYOUTS`.
        source: the data set's folder, as published. Nothing is written there.
        out: folder to write to; made if it isn't there. Files of the same name are replaced.
        split: keep only this published split.
        kind: keep only frames with polyps, or only those without.
        images: how pictures get to `out/images`: "copy", "hardlink" (same file system), or "none": the COCO file's
            names are then relative to `source`, otherwise to `out/images`.
        max_pixels: decoding limit in pixels.
        video_step: every `video_step`-th frame of a video is taken and written as PNG; "none" leaves videos out.

    Raises:
        ConfigurationError: an option is wrong, or `out` and `source` overlap.
        DatasetLayoutError: `source` isn't laid out as published, or holds no usable frame of this split and kind.
        StorageError: a file can't be written.
    """
    layout, root, target = find_layout(name), Path(source), Path(out)
    _check_options(root, target, kind, images, max_pixels, video_step)
    if not root.is_dir():
        raise layout.error(root, "no such folder")
    builder = _Builder(layout, root, target, images, layout.categories(root))
    splits = set()
    for frame in layout.frames(root):
        splits.add(frame.split)
        if split not in (None, frame.split) or (kind != "all" and frame.kind not in (None, kind)):
            continue
        try:
            for part, image in _decode(frame, images, max_pixels, video_step):
                polyps = frame_polyps(part, image.shape[1], image.shape[0], max_pixels)
                if kind == "all" or (kind == "polyp") == bool(polyps):
                    builder.add(part, image, polyps)
        except (ImageError, DatasetLayoutError) as error:
            builder.skip(frame, str(error))
    if split is not None and split not in splits:
        raise layout.error(root, f"no frame of split {split!r}, found {', '.join(map(repr, sorted(splits))) or 'none'}")
    return builder.finish()


@dataclass
class _Builder:
    """Collects the records, puts the pictures in place, and writes the files."""

    layout: Layout
    root: Path
    target: Path
    mode: ImageMode
    categories: tuple[str, ...]
    images: list[CocoImage] = field(default_factory=list)
    annotations: list[CocoAnnotation] = field(default_factory=list)
    licences: dict[Licence, int] = field(default_factory=dict)
    skipped: list[SkippedFrame] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def add(self, frame: Frame, image: ImageArray, polyps: list[Polyp]) -> None:
        """Keep a frame."""
        if frame.name in self.names:
            raise DatasetLayoutError(f"{frame.name}: a frame of this name was there before")
        source = frame.image.relative_to(self.root).as_posix()
        file_name = source if self.mode == "none" else frame.name
        if self.mode != "none":
            _place(frame, image, self.target / "images" / file_name, self.mode)
        self.names.add(frame.name)
        facts = {
            "dataset": frame.dataset or self.layout.title,
            "split": frame.split,
            "group": frame.group or frame.image.stem,
            "source": source,
            **frame.extra,
        }
        licence = self.licences.setdefault(frame.licence or self.layout.licence, len(self.licences) + 1)
        number = len(self.images) + 1
        extra = {key: value for key, value in facts.items() if value}
        self.images.append(CocoImage(number, file_name, image.shape[1], image.shape[0], licence, extra))
        for polyp in polyps:
            self.annotations.append(
                CocoAnnotation(
                    id=len(self.annotations) + 1,
                    image_id=number,
                    category_id=polyp.category,
                    bbox=polyp.bbox,
                    area=polyp.area,
                    segmentation=polyp.segmentation,
                )
            )

    def skip(self, frame: Frame, reason: str) -> None:
        """Leave a frame out. The report must not depend on where the source stands on this machine."""
        name = frame.image.relative_to(self.root).as_posix()
        self.skipped.append(SkippedFrame(name, reason.replace(f"{self.root}{os.sep}", "")))

    def finish(self) -> PrepareReport:
        """Write the COCO file and the report."""
        if not self.images:
            first = "".join(f"; {entry.name}: {entry.reason}" for entry in self.skipped[:_NAMED_IN_ERROR])
            raise self.layout.error(self.root, f"no usable frame, {len(self.skipped)} skipped{first}")
        dataset = CocoDataset(
            self.root if self.mode == "none" else self.target / "images",
            tuple(self.images),
            tuple(self.annotations),
            tuple(CocoCategory(number, name) for number, name in enumerate(self.categories, start=1)),
            tuple(CocoLicense(number, licence.name, licence.url) for licence, number in self.licences.items()),
            {"description": f"{self.layout.title}, prepared by polyp_aug", "url": self.layout.homepage},
        )
        report = PrepareReport(
            dataset=self.layout.name,
            images=len(self.images),
            polyp_images=len({annotation.image_id for annotation in self.annotations}),
            annotations=len(self.annotations),
            groups=len({image.extra["group"] for image in self.images}),
            splits=count_splits([image.extra.get("split", "") for image in self.images]),
            licences=tuple(licence.name for licence in self.licences),
            skipped=tuple(self.skipped),
        )
        _make_folder(self.target)
        write_coco(dataset, self.target / "annotations.json")
        text = json.dumps(report.to_dict(), indent=2, ensure_ascii=False) + "\n"
        write_bytes(self.target / "prepare_report.json", text.encode("utf-8", "surrogateescape"))
        return report


def _check_options(
    root: Path, target: Path, kind: KindFilter, images: ImageMode, max_pixels: int, video_step: int
) -> None:
    for option, value, allowed in (("kind", kind, KindFilter), ("images", images, ImageMode)):
        if value not in get_args(allowed):
            raise ConfigurationError(f"{option} {value!r}, expected one of {', '.join(get_args(allowed))}")
    for option, number in (("max_pixels", max_pixels), ("video_step", video_step)):
        if number < 1:
            raise ConfigurationError(f"{option} {number}, expected at least 1")
    inner, outer = root.resolve(), target.resolve()
    if outer.is_relative_to(inner) or inner.is_relative_to(outer / "images"):
        raise ConfigurationError(f"out {target} overlaps the source folder {root}, expected a folder outside of it")


def _decode(frame: Frame, images: ImageMode, max_pixels: int, video_step: int) -> Iterator[tuple[Frame, ImageArray]]:
    """The picture of a frame, or the pictures of a video, each with a frame of its own."""
    if frame.problem:
        raise DatasetLayoutError(frame.problem)
    if not frame.is_video:
        yield frame, read_image(frame.image, max_pixels=max_pixels)
        return
    if images == "none":
        raise DatasetLayoutError(f"{frame.image}: a video's frames must be written, use images='copy'")
    for number, image in video_frames(frame.image, video_step, max_pixels=max_pixels):
        name = f"{PurePosixPath(frame.name).with_suffix('')}/{number:06d}.png"
        yield replace(frame, name=name, extra={**frame.extra, "video_frame": str(number)}), image


def _place(frame: Frame, image: ImageArray, path: Path, mode: ImageMode) -> None:
    _make_folder(path.parent)
    if frame.is_video:
        write_png(path, image)
    elif mode == "copy":
        write_bytes(path, frame.image.read_bytes())
    else:
        try:
            path.unlink(missing_ok=True)
            os.link(frame.image, path)
        except OSError as error:
            raise StorageError(
                error.errno, f"{path}: can't be linked to {frame.image} ({error.strerror}); use images='copy'"
            ) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(error.errno, f"{folder}: can't be made ({error.strerror or error})") from error
