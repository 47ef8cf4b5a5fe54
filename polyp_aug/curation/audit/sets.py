"""The sets of an audit, and what is compared of them: whole frames and polyps cut out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from polyp_aug.coco import CocoDataset, CocoImage, read_coco, resolve_image
from polyp_aug.coco.read import annotations_file
from polyp_aug.curation.origins import Origins, reference_sources, source_of
from polyp_aug.curation.runs.cutouts import SIDE, annotated_polyps, read_cutouts
from polyp_aug.curation.runs.painted import TIGHT, painted_objects
from polyp_aug.evaluation.crops import Origin, PolypCrop, group_of, list_crops, read_crops
from polyp_aug.evaluation.recall import counts
from polyp_aug.evaluation.report import digest_of
from polyp_aug.generation.merge_runs import is_run_folder
from polyp_aug.generation.run_folder import read_records
from polyp_aug.images import ImageArray
from polyp_aug.references import image_source
from polyp_aug.scene import Source

#: What is compared.
What = Literal["frame", "polyp"]


@dataclass(frozen=True, eq=False)
class AuditedSet:
    """A set.

    Attributes:
        name: for people.
        path: COCO file, folder with `annotations.json`, or run folder.
        dataset: its frames and annotations.
        synthetic: whether it was made from other frames: its painted polyps are compared, and where they come from.
    """

    name: str
    path: Path
    dataset: CocoDataset
    synthetic: bool

    @property
    def origins(self) -> Origins:
        """Its frames, by file, patient and sequence."""
        return Origins(image_source(image, {}) for image in self.dataset.images)

    def items(self, what: What) -> list[PolypCrop]:
        """Its frames, or its polyps, each cut out alone; of a run the polyps that it painted."""
        if what == "frame":
            return [_frame(self.dataset, image) for image in self.dataset.images]
        annotations = self.dataset.annotations
        painted = self.synthetic and any(counts(item, "synthetic") for item in annotations)
        origin: Origin = "synthetic" if painted else "all"
        if not any(counts(item, origin) for item in annotations):
            return []
        return list_crops(self.dataset, origin, TIGHT)

    def hashed(self, what: What, items: Sequence[PolypCrop]) -> Iterator[ImageArray]:
        """What is hashed of `items`: whole frames, squeezed; polyps, cut out along their masks."""
        if what == "frame":
            return read_crops(items, SIDE)
        annotations = {item.id: item for item in self.dataset.annotations}
        return read_cutouts(annotated_polyps(self.dataset, (annotations[item.annotation] for item in items)))

    def made_from(self) -> Iterator[tuple[str, str, Source]]:
        """What each of its frames comes from: its file, how it was used, and the source; a real frame is its own."""
        if self.synthetic and is_run_folder(self.path):
            for record in read_records(self.path):
                if record["status"] == "made":
                    yield record["file_name"], "background", source_of(record["background"])
                    for item in painted_objects(record):
                        for source in reference_sources(item["provenance"]):
                            yield record["file_name"], "reference", source
            return
        use = "background" if self.synthetic else "frame"
        for image in self.dataset.images:
            known = image_source(image, {}).to_dict()
            if self.synthetic and image.extra.get("background"):
                known["file"] = str(image.extra["background"])
            yield image.file_name, use, source_of(known)

    def facts(self) -> dict[str, object]:
        """What the report says of it."""
        return {
            "annotations_sha256": digest_of([annotations_file(self.path)]),
            "frames": len(self.dataset.images),
            "polyps": len(self.items("polyp")),
            "groups": len({group_of(image) for image in self.dataset.images}),
        }


def read_sets(paths: list[Path], taken: set[str], *, synthetic: bool) -> list[AuditedSet]:
    """Read sets, and name each after its folder or file; names that are taken get a number.

    Raises:
        CocoError: a COCO file breaks the format.
    """
    found = []
    for path in paths:
        stem = path.resolve().name if path.is_dir() else path.stem
        name, number = stem, 1
        while name in taken:
            number += 1
            name = f"{stem} ({number})"
        taken.add(name)
        found.append(AuditedSet(name, path, read_coco(path), synthetic))
    return found


def _frame(dataset: CocoDataset, image: CocoImage) -> PolypCrop:
    path = resolve_image(dataset.image_root, image.file_name)
    return PolypCrop(path, image.width, image.height, (0, 0, image.width, image.height), group_of(image), 0)
