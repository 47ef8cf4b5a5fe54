"""The frames that polyps are painted into, as light records, and how samples are dealt out over them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyp_aug.coco import CocoCategory, CocoDataset, CocoLicense, read_coco, resolve_image
from polyp_aug.errors import ConfigurationError, ImageError
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.images import list_images, read_image
from polyp_aug.keys import Key
from polyp_aug.references import image_source
from polyp_aug.scene import Scene, SceneObject, Source


@dataclass(frozen=True)
class Background:
    """A frame that has not been read yet.

    Attributes:
        path: the picture.
        size: (width, height) that its record states, or None.
        source: provenance; its `file` names the frame.
        objects: what its COCO file says is there, as annotation fields in JSON types; `category` is a name.
    """

    path: Path
    source: Source
    size: tuple[int, int] | None = None
    objects: tuple[dict[str, Any], ...] = ()

    def read(self) -> Scene:
        """Read the picture.

        Raises:
            ImageError: it can't be read, or has another size than its record states.
        """
        image = read_image(self.path)
        height, width = image.shape[:2]
        if self.size is not None and self.size != (width, height):
            stated = "×".join(str(side) for side in self.size)
            raise ImageError(f"{self.path}: {width}×{height} pixels, its record says {stated}")
        objects = tuple(SceneObject(item["bbox"], item["category"]) for item in self.objects)
        return Scene(self.source.file, image, objects, self.source)


@dataclass(frozen=True, eq=False)
class Backgrounds:
    """All frames of a run.

    Attributes:
        name: name of the folder or file they come from.
        frames: the records, in a fixed order.
        categories: of the COCO file, if there is one.
        licenses: of the COCO file, if there is one.
        digest: SHA-256 over names, sizes and annotations.
        left_out: names of links that lead out of the folder; they are not followed.
    """

    name: str
    frames: tuple[Background, ...]
    categories: tuple[CocoCategory, ...]
    licenses: tuple[CocoLicense, ...]
    digest: str
    left_out: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """What `run.json` says of them."""
        return {
            "backgrounds": self.name,
            "background_pictures": len(self.frames),
            **({"backgrounds_left_out": list(self.left_out)} if self.left_out else {}),
            "backgrounds_sha256": self.digest,
        }


@dataclass(frozen=True)
class Sample:
    """One picture that a run is to make.

    Attributes:
        number: counts all shards' samples from 0.
        choices: indices of the backgrounds to try, best first.
    """

    number: int
    choices: tuple[int, ...]


def read_backgrounds(path: Path, images: Path | None, fix: bool) -> Backgrounds:
    """The frames of a run: a folder of pictures, or a COCO data set.

    Args:
        path: the folder, or the COCO file.
        images: folder of the pictures where it isn't beside their COCO file.
        fix: mend a COCO file that breaks the format where that is possible.

    Raises:
        ConfigurationError: there is no picture.
        CocoError: the COCO file breaks the format.
    """
    if path.is_dir() and not (path / "annotations.json").is_file():
        found = _from_folder(path)
    else:
        found = _from_coco(path, read_coco(path, image_root=images, fix=fix))
    if not found.frames:
        raise ConfigurationError(f"{path}: no pictures")
    return found


def deal_samples(config: GenerateConfig, frames: int) -> SampleDeck:
    """The samples of a run over so many frames."""
    total = config.count if config.count is not None else frames * (config.per_image or 1)
    return SampleDeck(
        frames, total, seed=config.seed, shard=config.shard, per_image=config.per_image, attempts=config.attempts
    )


class SampleDeck:
    """Which background each sample gets; a pure function of the settings.

    With `per_image`, sample k of a background follows sample k − 1. With `count`, every background is used once in
    random order before any is used again, and a sample whose background fails goes to others that are drawn for it
    alone, so that no sample depends on another.

    Args:
        frames: number of backgrounds.
        total: number of samples in all shards.
        seed: of the run.
        shard: (i, n), i from 1.
        per_image: samples of each background, or None for `total` over all of them.
        attempts: backgrounds to try for a sample, without `per_image`.
    """

    def __init__(
        self, frames: int, total: int, *, seed: int, shard: tuple[int, int], per_image: int | None, attempts: int = 1
    ) -> None:
        self.total = total
        self._frames = frames
        self._seed = seed
        self._shard = shard
        self._per_image = per_image
        self._attempts = attempts
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def __len__(self) -> int:
        """Number of samples in this shard."""
        index, number = self._shard
        return max(0, (self.total - index) // number + 1)

    def number(self, position: int) -> int:
        """The number, over all shards, of the sample at a position; past the end, of the one that would follow."""
        index, shards = self._shard
        return position * shards + index - 1

    def __getitem__(self, position: int) -> Sample:
        """The sample at a position of this shard."""
        if not 0 <= position < len(self):
            raise IndexError(position)
        number = self.number(position)
        if self._per_image is not None:
            return Sample(number, (number // self._per_image,))
        cycle, place = divmod(number, self._frames)
        first = int(self._order(cycle)[place])
        spare = min(self._attempts, self._frames) - 1
        drawn = (
            Key(self._seed, "other backgrounds", number)
            .generator("index")
            .choice(self._frames - 1, spare, replace=False)
            if spare
            else ()
        )
        # Counted without the first, so that no background is tried twice.
        return Sample(number, (first, *(int(other) + (int(other) >= first) for other in drawn)))

    def _shuffled(self, cycle: int) -> npt.NDArray[np.int64]:
        return Key(self._seed, "backgrounds", cycle).generator("order").permutation(self._frames)


def _from_folder(root: Path) -> Backgrounds:
    digest = hashlib.sha256()
    frames, left_out = [], []
    for path in list_images(root):
        name = path.relative_to(root).as_posix()
        if not path.resolve().is_relative_to(root.resolve()):
            left_out.append(name)
            continue
        digest.update(f"{name}\0{path.stat().st_size}\n".encode("utf-8", "surrogateescape"))
        frames.append(Background(path, Source(file=name)))
    return Backgrounds(_name(root), tuple(frames), (), (), digest.hexdigest(), tuple(left_out))


def _from_coco(path: Path, dataset: CocoDataset) -> Backgrounds:
    categories = {category.id: category.name for category in dataset.categories}
    licences = {licence.id: licence for licence in dataset.licenses}
    annotations = dataset.by_image()
    frames = []
    digest = hashlib.sha256()
    for image in sorted(dataset.images, key=lambda image: image.file_name):
        source = image_source(image, licences)
        objects = tuple(
            {
                "category": categories[item.category_id],
                "bbox": list(item.bbox),
                "area": item.area,
                "segmentation": item.segmentation,
                "iscrowd": item.iscrowd,
                "extra": dict(item.extra),
            }
            for item in annotations[image.id]
        )
        picture = resolve_image(dataset.image_root, image.file_name)
        frames.append(Background(picture, source, (image.width, image.height), objects))
        size = picture.stat().st_size if picture.is_file() else None
        digest.update(
            f"{size}\0{source}\0{image.width}\0{image.height}\0{objects}\n".encode("utf-8", "surrogateescape")
        )
    return Backgrounds(
        _name(path if path.is_dir() else path.parent),
        tuple(frames),
        dataset.categories,
        dataset.licenses,
        digest.hexdigest(),
    )


def _name(folder: Path) -> str:
    """A folder's name for people; `images` says nothing, so it is the name of what holds it then."""
    folder = folder.resolve()
    return folder.parent.name if folder.name == "images" else folder.name
