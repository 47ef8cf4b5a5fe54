"""PolypGen: single frames of six centres, and sequences with and without polyps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from polyp_aug.datasets.base import CC_BY_4, Frame, Layout, find_folders, pairs, pictures


class PolypGen(Layout):
    """Single frames and positive sequences may hold no polyp: their masks tell. Box files were made from the masks."""

    name = "polypgen"
    title = "PolypGen"
    licence = CC_BY_4
    homepage = "https://doi.org/10.7303/syn26376615"
    expected = """\
PolypGen2021_MultiCenterData_v3/
  data_C1/images_C1/<name>.jpg            … data_C6
  data_C1/masks_C1/<name>_mask.jpg
  data_C1/bbox_C1/…                       (not read)
  sequenceData/positive/seq1/images_seq1/<name>.jpg
  sequenceData/positive/seq1/masks_seq1/<name>_mask.jpg
  sequenceData/negativeOnly/seq1_neg/<name>.jpg"""

    def frames(self, root: Path) -> Iterator[Frame]:
        """See `Layout.frames`."""
        centres = find_folders(root, "data_C[0-9]")
        positive = find_folders(root, "sequenceData/positive/seq*")
        negative = find_folders(root, "sequenceData/negative*/*")
        if not centres and not positive and not negative:
            raise self.error(root, "neither data_C1 … data_C6 nor sequenceData")
        for folder in centres + positive:
            part = folder.name.removeprefix("data_")
            for name in (f"images_{part}", f"masks_{part}"):
                if not (folder / name).is_dir():
                    raise self.error(root, f"{folder.relative_to(root)} has no {name} folder")
        return self._frames(centres, positive, negative)

    def _frames(self, centres: list[Path], positive: list[Path], negative: list[Path]) -> Iterator[Frame]:
        for folder in centres:
            part = folder.name.removeprefix("data_")
            yield from self._masked(folder, part, part, "", {"centre": part})
        for folder in positive:
            yield from self._masked(folder, folder.name, f"positive/{folder.name}", f"{self.name}-{folder.name}", {})
        for folder in negative:
            for image in pictures(folder):
                name = f"negative/{folder.name}/{image.name}"
                yield Frame(image, name, "normal", group=f"{self.name}-negative-{folder.name}")

    def _masked(self, folder: Path, part: str, prefix: str, group: str, extra: dict[str, str]) -> Iterator[Frame]:
        for image, mask in pairs(folder / f"images_{part}", folder / f"masks_{part}", _stem):
            problem = "" if mask else f"no mask <name>_mask in masks_{part}"
            yield Frame(image, f"{prefix}/{image.name}", None, mask, group=group, problem=problem, extra=extra)


def _stem(stem: str) -> str:
    # One published picture has an underscore at its end that its mask lacks.
    return stem.removesuffix("_mask").rstrip("_")
