"""Building a reference database: polyps are removed from frames, and the mucosa that is left is encoded.

D = {I_N, M_P} with I_N = θ(I_P, M_P, *Normal*). An entry's address is a digest of the frame's pixels, of its polyps,
and of its data set, split and group; a database has one encoder and one way of removing. What is in it already is
neither removed nor encoded again, and that a frame gave nothing is remembered too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from polyp_aug.coco import CocoDataset, decode_segmentation, resolve_image
from polyp_aug.coco.model import CocoAnnotation, CocoImage
from polyp_aug.database.folder import DatabaseInfo
from polyp_aug.database.reference import Refusal
from polyp_aug.database.write import DatabaseWriter, NewPolyp, NewReference
from polyp_aug.encoders.patches import PatchEncoder
from polyp_aug.errors import ConfigurationError, ImageError
from polyp_aug.geometry import Region, largest_component, outer_box
from polyp_aug.images import read_image
from polyp_aug.keys import Key
from polyp_aug.references import image_source
from polyp_aug.removal import Removed, Remover
from polyp_aug.scene import Scene, SceneObject, Source
from polyp_aug.synthesizers.options import PaintingOptions

#: Settings of painting that change pictures by rounding only: references may differ in them.
_ROUNDING = frozenset({"batch_size", "device", "dtype", "compile", "channels_last"})


@dataclass(frozen=True)
class IndexProgress:
    """How far a building has come. All numbers are of frames.

    Attributes:
        done: that were looked at.
        total: with polyps.
        added: of which references were made.
        known: that were there before, or stand in the data set a second time.
        refused: of which nothing could be removed.
        problems: why something is missing, one sentence each.
    """

    done: int = 0
    total: int = 0
    added: int = 0
    known: int = 0
    refused: int = 0
    problems: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, eq=False)
class _Frame:
    path: Path
    scene: Scene
    source: Source
    annotations: tuple[CocoAnnotation, ...]
    original: str
    address: str


def build_database(
    dataset: CocoDataset,
    path: Path,
    *,
    remover: Remover,
    encoder: PatchEncoder,
    painting: PaintingOptions | None = None,
    seed: int = 0,
    batch_size: int = 8,
    shard: int = 64,
    observer: Callable[[IndexProgress], None] | None = None,
) -> IndexProgress:
    """Add the frames of a data set to a database; what is interrupted goes on with the next call.

    Args:
        dataset: frames with polyps. A polyp without a mask stands for its box; crowds are left out.
        path: folder of the database; it is made where it doesn't exist.
        remover: takes the polyps away.
        encoder: turns what is left into features.
        painting: what the remover's synthesizer paints with, where that is a diffusion model.
        seed: the only source of randomness.
        batch_size: frames that are repainted together.
        shard: frames whose entries are stored together; about so many are lost at most when the building is killed.
        observer: told after each batch.

    Raises:
        ConfigurationError: a value is out of its range, or no frame holds a polyp.
        DatabaseError: see `DatabaseWriter`.
        RunFolderBusyError: see `DatabaseWriter`.
        StorageError: see `DatabaseWriter`.
    """
    for name, value, least in (("seed", seed, 0), ("batch_size", batch_size, 1), ("shard", shard, 1)):
        if value < least:
            raise ConfigurationError(f"{name!r} must be at least {least} (got {value})")
    annotations = dataset.by_image()
    images = [
        image
        for image in sorted(dataset.images, key=lambda image: image.file_name)
        if any(not item.iscrowd for item in annotations[image.id])
    ]
    if not images:
        raise ConfigurationError(f"{dataset.image_root}: none of {len(dataset.images)} frames holds a polyp")
    problems: list[str] = []
    progress = IndexProgress(total=len(images))
    references: list[NewReference] = []
    refusals: list[Refusal] = []
    seen: set[str] = set()
    with DatabaseWriter(path, DatabaseInfo.of(encoder, _conversion(remover, painting, seed))) as writer:
        for batch in _batches(images, batch_size):
            fresh = []
            for frame in _frames(dataset, batch, annotations, problems):
                if frame.address not in writer and frame.address not in seen:
                    fresh.append(frame)
                else:
                    progress = replace(progress, known=progress.known + 1)
                seen.add(frame.address)
            made, refused = _convert(fresh, remover, encoder, seed, problems)
            references += made
            refusals += refused
            progress = replace(
                progress,
                done=progress.done + len(batch),
                added=progress.added + len(made),
                refused=progress.refused + len(refused),
                problems=tuple(problems),
            )
            if len(references) + len(refusals) >= shard:
                writer.add(references, refusals)
                references, refusals = [], []
            if observer is not None:
                observer(progress)
        writer.add(references, refusals)
    return progress


def _conversion(remover: Remover, painting: PaintingOptions | None, seed: int) -> dict[str, Any]:
    """How polyps are removed, as `database.json` says it."""
    found: dict[str, Any] = {"synthesizer": remover.synthesizer.name, "revision": remover.synthesizer.revision}
    found |= asdict(remover.settings) | {"categories": list(remover.settings.categories)}
    if painting is not None:
        found["painting"] = {name: value for name, value in painting.to_dict().items() if name not in _ROUNDING}
    return found | {"seed": seed}


def _frames(
    dataset: CocoDataset,
    images: Sequence[CocoImage],
    annotations: Mapping[int, Sequence[CocoAnnotation]],
    problems: list[str],
) -> Iterator[_Frame]:
    """Frames with their addresses; what can't be read is added to `problems`."""
    categories = {category.id: category.name for category in dataset.categories}
    licences = {licence.id: licence for licence in dataset.licenses}
    for image in images:
        path = resolve_image(dataset.image_root, image.file_name)
        polyps = tuple(item for item in annotations[image.id] if not item.iscrowd)
        try:
            pixels = read_image(path)
            height, width = pixels.shape[:2]
            if (width, height) != (image.width, image.height):
                raise ImageError(f"{path}: {width}×{height} pixels, its record says {image.width}×{image.height}")
        except ImageError as error:
            problems.append(str(error))
            continue
        objects = tuple(SceneObject(item.bbox, categories[item.category_id]) for item in polyps)
        source = image_source(image, licences)
        original = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()[:24]
        content = [(item.bbox, item.segmentation, found.category) for item, found in zip(polyps, objects, strict=True)]
        parts = f"{original} {content} {(source.dataset, source.split, source.group)}"
        address = hashlib.sha256(parts.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        yield _Frame(path, Scene(image.file_name, pixels, objects, source), source, polyps, original, address)


def _convert(
    frames: Sequence[_Frame], remover: Remover, encoder: PatchEncoder, seed: int, problems: list[str]
) -> tuple[list[NewReference], list[Refusal]]:
    """References, and what is to be remembered of frames that give none."""
    removed = remover.remove([frame.scene for frame in frames], [Key(seed, frame.address) for frame in frames])
    reasons = [[rejection.reason for rejection in result.rejections] for result in removed]
    polyps = [_polyps(frame, result, found) for frame, result, found in zip(frames, removed, reasons, strict=True)]
    given = [index for index, found in enumerate(polyps) if found and _large(frames[index], encoder, reasons[index])]
    features = encoder.encode([removed[index].image for index in given])
    references = []
    for index, found in zip(given, features, strict=True):
        frame, image = frames[index], removed[index].image
        seen = [polyp for polyp in polyps[index] if found.inside(polyp.region).any()]
        if len(seen) < len(polyps[index]):
            reasons[index].append("a polyp lies in what the encoder cuts off")
        if seen:
            references.append(NewReference(frame.address, frame.original, frame.source, image, seen, found))
    done = {reference.address for reference in references}
    for frame, why in zip(frames, reasons, strict=True):
        problems.extend(f"{frame.path}: {reason}" for reason in why)
    refusals = [
        Refusal(frame.address, frame.original, frame.source, tuple(why))
        for frame, why in zip(frames, reasons, strict=True)
        if frame.address not in done
    ]
    return references, refusals


def _large(frame: _Frame, encoder: PatchEncoder, reasons: list[str]) -> bool:
    if min(frame.scene.width, frame.scene.height) >= encoder.patch:
        return True
    size = f"{frame.scene.width}×{frame.scene.height} px"
    reasons.append(f"a picture of {size} is smaller than a patch of {encoder.patch} px")
    return False


def _polyps(frame: _Frame, result: Removed, reasons: list[str]) -> list[NewPolyp]:
    """The polyps of a frame that were removed."""
    found = []
    for number, annotation in enumerate(frame.annotations):
        if number in result.kept:
            continue
        region = _region(annotation, frame.scene)
        if region is None:
            reasons.append(f"annotation {annotation.id} has an empty mask")
        else:
            name = f"{frame.source.file}#{annotation.id}"
            found.append(NewPolyp(name, region, frame.scene.objects[number].category))
    return found


def _region(annotation: CocoAnnotation, scene: Scene) -> Region | None:
    if annotation.segmentation:
        mask = decode_segmentation(annotation.segmentation, scene.width, scene.height)
        return Region.from_mask(largest_component(mask))
    x, y, w, h = outer_box(annotation.bbox, 0.0, scene.width, scene.height)
    return Region(x, y, np.ones((h, w), np.bool_)) if min(w, h) > 0 else None


def _batches(images: Iterable[CocoImage], size: int) -> Iterator[list[CocoImage]]:
    iterator = iter(images)
    while batch := list(islice(iterator, size)):
        yield batch
