"""Decoys: places on emptied frames where no polyp was, to be repainted in the very way in which polyps were removed.

Who recognises repainted mucosa finds decoys as often as the place of the polyp; who knows where polyps grow prefers it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from polyp_aug.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, read_coco
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.emptied import EmptiedFrame, read_emptied
from polyp_aug.geometry import Box, IntBox, boxes_meet, outer_box
from polyp_aug.keys import Key
from polyp_aug.mucosa import LEAST_SHARE, Mucosa, find_mucosa
from polyp_aug.removal import RemoverSettings

#: Category of the boxes.
DECOY = "decoy"


def decoy_set(run: Path, *, count: int = 3, seed: int = 0, settings: RemoverSettings | None = None) -> CocoDataset:
    """The emptied frames of a run with boxes for `polyp-aug remove` to repaint.

    Frames of which more than one polyp was removed are left out, so that the chance of the one among its decoys is
    known; so are those on which no decoy fits.

    Args:
        run: run folder of `remove`.
        count: decoys on each frame, at most; see `draw_decoys`.
        seed: the only source of randomness.
        settings: with which polyps were removed, and decoys are going to be.

    Raises:
        ConfigurationError: `count` is less than 1, it is not a run that removes, or there is no decoy.
        CocoError: the run's COCO file breaks the format.
        RunFolderDamagedError: a record of the run can't be trusted.
        ImageError: a frame can't be read.
    """
    if count < 1:
        raise ConfigurationError(f"'count' must be at least 1 (got {count})")
    emptied = {frame.path.name: frame for frame in read_single(run)}
    dataset = read_coco(run)
    images: list[CocoImage] = []
    annotations: list[CocoAnnotation] = []
    for image in dataset.images:
        frame = emptied.get(image.file_name)
        if frame is None:
            continue
        key = Key(seed, frame.source.file)
        mucosa = find_mucosa(frame.read())
        boxes = draw_decoys(mucosa, frame.removed[0], count, key, frame.kept, settings or RemoverSettings())
        if boxes:
            images.append(image)
        for x, y, w, h in boxes:
            annotations.append(CocoAnnotation(len(annotations) + 1, image.id, 1, (x, y, w, h), w * h))
    if not annotations:
        raise ConfigurationError(f"{run}: no frame with one removed polyp has room for a decoy")
    categories = (CocoCategory(1, DECOY),)
    return replace(dataset, images=tuple(images), annotations=tuple(annotations), categories=categories)


def read_single(run: Path) -> list[EmptiedFrame]:
    """The frames of a removal run of which one polyp was removed; raises what `read_emptied` does."""
    return [frame for frame in read_emptied(run) if len(frame.removed) == 1]


def draw_decoys(
    mucosa: Mucosa,
    removed: Box,
    count: int,
    key: Key,
    kept: Sequence[Box] = (),
    settings: RemoverSettings | None = None,
) -> list[Box]:
    """Boxes as large as that of a removed polyp, anywhere on the mucosa, such that what is repainted doesn't meet.

    Args:
        mucosa: of the frame.
        removed: box of the polyp, xywh in pixels.
        count: at most so many; fewer where no other fits in.
        key: the only source of randomness.
        kept: boxes of objects that are still there.
        settings: how decoys are going to be repainted; margins and soft edges count as repainted.
    """
    settings = settings or RemoverSettings()
    width, height = removed[2:]
    taken = [settings.touched(box, mucosa.width, mucosa.height) for box in (removed, *kept)]
    boxes: list[Box] = []
    for x, y in key.generator("decoys").permutation(mucosa.centres(width, height, taken)).tolist():
        box = (x - width / 2, y - height / 2, width, height)
        touched = settings.touched(box, mucosa.width, mucosa.height)
        if not any(boxes_meet(touched, other) for other in taken):
            boxes.append(box)
            taken.append(touched)
        if len(boxes) == count:
            break
    return boxes


def fitting_place(mucosa: Mucosa, polyp: EmptiedFrame, key: Key) -> IntBox | None:
    """The box of the polyp that was removed from another frame, scaled to this one: for a control without polyps.

    None where it isn't on mucosa, or leaves no room for a decoy.

    Args:
        mucosa: of this frame.
        polyp: the other frame; its first removed polyp is taken.
        key: of the decoy; see `draw_decoys`.
    """
    across, down = mucosa.width / polyp.size[0], mucosa.height / polyp.size[1]
    x, y, w, h = polyp.removed[0]
    box = outer_box((x * across, y * down, w * across, h * down), 0.0, mucosa.width, mucosa.height)
    return box if mucosa.covers(box) >= LEAST_SHARE and draw_decoys(mucosa, box, 1, key) else None
