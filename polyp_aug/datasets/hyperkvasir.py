"""HyperKvasir: segmented polyps, and polyp-free pictures from the labelled classes of the lower tract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from polyp_aug.datasets.base import CC_BY_4, Frame, Layout, find_folders, pairs, pictures

#: Classes of the colon and rectum in which the labels leave no room for a polyp or a treated one. Left out: polyps (no
#: masks), dyed-lifted-polyps and dyed-resection-margins (a polyp is or was there), ulcerative-colitis-* and hemorrhoids
#: (other findings), ileum (not the colon), bbps-0-1 and impacted-stool (stool hides the mucosa).
NORMAL_CLASSES = (
    "anatomical-landmarks/cecum",
    "anatomical-landmarks/retroflex-rectum",
    "quality-of-mucosal-views/bbps-2-3",
)


class HyperKvasir(Layout):
    """Either part may be missing. `bounding-boxes.json` and `image-labels.csv` repeat masks and folders: not read."""

    name = "hyperkvasir"
    title = "HyperKvasir"
    licence = CC_BY_4
    homepage = "https://datasets.simula.no/hyper-kvasir/"
    expected = """\
hyper-kvasir/
  segmented-images/images/<name>.jpg
  segmented-images/masks/<name>.jpg
  segmented-images/bounding-boxes.json   (not read)
  labeled-images/lower-gi-tract/anatomical-landmarks/cecum/<name>.jpg
  labeled-images/lower-gi-tract/anatomical-landmarks/retroflex-rectum/<name>.jpg
  labeled-images/lower-gi-tract/quality-of-mucosal-views/bbps-2-3/<name>.jpg
  labeled-images/image-labels.csv        (not read)"""

    def frames(self, root: Path) -> Iterator[Frame]:
        """See `Layout.frames`."""
        segmented, labelled = find_folders(root, "segmented-images"), find_folders(root, "lower-gi-tract")
        if not segmented and not labelled:
            raise self.error(root, "neither segmented-images nor labeled-images/lower-gi-tract")
        for part in segmented[:1]:
            for folder in ("images", "masks"):
                if not (part / folder).is_dir():
                    raise self.error(root, f"{part.relative_to(root)} has no {folder} folder")
        return self._frames(segmented[:1], labelled[:1])

    def _frames(self, segmented: list[Path], labelled: list[Path]) -> Iterator[Frame]:
        for part in segmented:
            for image, mask in pairs(part / "images", part / "masks"):
                problem = "" if mask else "no mask of its name in segmented-images/masks"
                yield Frame(image, f"polyps/{image.name}", "polyp", mask, problem=problem)
        for part in labelled:
            for label in NORMAL_CLASSES:
                folder = part / label
                for image in pictures(folder) if folder.is_dir() else ():
                    yield Frame(image, f"{folder.name}/{image.name}", "normal", extra={"label": folder.name})
