"""The frames of a run: drawn from the real sets, the same for every arm and detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from polyp_aug.benchmark.spec import BenchmarkSpec
from polyp_aug.coco import CocoDataset, CocoImage, read_coco, write_coco
from polyp_aug.coco.merge import MergeInput, merge_coco
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.crops import group_of
from polyp_aug.evaluation.report import make_folder
from polyp_aug.images import write_bytes
from polyp_aug.keys import Key


def draw_frames(spec: BenchmarkSpec, size: int, seed: int, out: Path) -> Path:
    """Draw the training frames of a size and seed: real ones with polyps, and as many without.

    Whole groups (patients or sequences) are drawn, in an order that the seed alone decides: the frames of a smaller
    size are among those of a larger one. What is there already is not made again.

    Args:
        spec: the benchmark.
        size: number of frames with polyps; the last group may be cut.
        seed: of the order.
        out: folder to write.

    Returns:
        Folder of the COCO set.

    Raises:
        CocoError: a COCO file breaks the format.
        ConfigurationError: the sets hold too few frames.
        StorageError: a file can't be written.
    """
    merged, complete = out / "frames", out / ".complete"
    if complete.exists():
        return merged
    make_folder(out)
    inputs = []
    for kind, paths in (("real", spec.real), ("negatives", spec.negatives)):
        left = size
        for number, path in enumerate(paths):
            dataset = read_coco(Path(path))
            share = left // (len(paths) - number)
            part = _drawn(dataset, share, seed, path)
            left -= share
            file = out / f"{kind}_{number}.json"
            write_coco(part, file)
            inputs.append(MergeInput(file, image_root=dataset.image_root))
    merge_coco(inputs, merged, images="hardlink")
    write_bytes(complete, b"")
    return merged


def _drawn(dataset: CocoDataset, size: int, seed: int, name: str) -> CocoDataset:
    """So many frames of a set, its groups in a random order."""
    if size > len(dataset.images):
        raise ConfigurationError(f"{name}: has {len(dataset.images)} frames, {size} are to be drawn")
    order: dict[str, int] = {
        group: Key(seed, group).digest("benchmark") for group in {group_of(image) for image in dataset.images}
    }
    images: Sequence[CocoImage] = sorted(dataset.images, key=lambda image: (order[group_of(image)], image.file_name))
    images = images[:size]
    kept = {image.id for image in images}
    annotations = tuple(item for item in dataset.annotations if item.image_id in kept)
    return replace(dataset, images=tuple(images), annotations=annotations)
