"""A folder of phantoms as a COCO data set."""

from __future__ import annotations

from pathlib import Path

from polyp_aug.coco.masks import encode_rle
from polyp_aug.coco.model import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, CocoLicense
from polyp_aug.coco.write import write_coco
from polyp_aug.errors import ConfigurationError, StorageError
from polyp_aug.images import write_png
from polyp_aug.keys import Key
from polyp_aug.phantom.frame import MAX_POLYPS, render_phantom

_LICENCE = CocoLicense(1, "CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/")


def write_phantom_dataset(
    out: Path, *, count: int, seed: int, polyps: tuple[int, int] | None, width: int = 512, height: int = 432
) -> Path:
    """Write phantoms to `out/images` and, where they may have polyps, their masks to `out/annotations.json`.

    File names in the COCO file are relative to `out/images`. The same arguments give the same files.
    Phantom `i` of a data set, from 0, is `render_phantom` of `seed + i`.

    Args:
        out: the folder; it is made where it does not exist.
        count: number of phantoms, at least 1.
        seed: seed of the first phantom.
        polyps: smallest and largest number of polyps of a phantom, or None for frames without polyps and without a COCO
            file.
        width: of the frames in pixels.
        height: of the frames in pixels.

    Returns:
        `out`.

    Raises:
        ConfigurationError: a number is out of range.
        StorageError: a file or folder can't be written.
    """
    if count < 1:
        raise ConfigurationError(f"count={count}: expected at least 1 phantom")
    if polyps is not None and not 0 <= polyps[0] <= polyps[1] <= MAX_POLYPS:
        raise ConfigurationError(f"polyps={polyps}: expected a range within 0 … {MAX_POLYPS}")
    try:
        (out / "images").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(error.errno, f"{out / 'images'}: can't be made ({error.strerror or error})") from error
    images: list[CocoImage] = []
    annotations: list[CocoAnnotation] = []
    for number in range(count):
        wanted = 0
        if polyps is not None:
            wanted = int(Key(seed + number, "phantom").generator("count").integers(polyps[0], polyps[1] + 1))
        phantom = render_phantom(seed + number, width=width, height=height, polyps=wanted)
        name = f"phantom_{seed + number:06d}.png"
        write_png(out / "images" / name, phantom.image)
        images.append(CocoImage(number + 1, name, width, height, license=_LICENCE.id))
        for polyp in phantom.polyps:
            annotations.append(
                CocoAnnotation(
                    id=len(annotations) + 1,
                    image_id=number + 1,
                    category_id=1,
                    bbox=polyp.region.box,
                    area=polyp.region.area,
                    segmentation=encode_rle(polyp.region, width, height),
                    extra={"kind": polyp.kind},
                )
            )
    if polyps is not None:
        info = {"description": "Procedural endoscopic phantoms; no patient is shown", "version": "1.0"}
        dataset = CocoDataset(
            image_root=out / "images",
            images=tuple(images),
            annotations=tuple(annotations),
            categories=(CocoCategory(1, "polyp"),),
            licenses=(_LICENCE,),
            info=info,
        )
        write_coco(dataset, out / "annotations.json")
    return out
