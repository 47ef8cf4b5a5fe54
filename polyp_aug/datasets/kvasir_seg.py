"""Kvasir-SEG: 1,000 polyp pictures with masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from polyp_aug.datasets.base import CC_BY_4, Frame, Layout, find_folders, pairs


class KvasirSeg(Layout):
    """Pictures and masks of one name. The published boxes were made from the masks and are not read."""

    name = "kvasir_seg"
    title = "Kvasir-SEG"
    licence = CC_BY_4
    homepage = "https://datasets.simula.no/kvasir-seg/"
    expected = """\
Kvasir-SEG/
  images/<name>.jpg
  masks/<name>.jpg
  kavsir_bboxes.json   (not read)"""

    def frames(self, root: Path) -> Iterator[Frame]:
        """See `Layout.frames`."""
        found = find_folders(root, "images")
        if not found:
            raise self.error(root, "no images folder")
        complete = [images for images in found if images.with_name("masks").is_dir()]
        if not complete:
            raise self.error(root, f"{found[0].relative_to(root)} is there, but no masks folder beside it")
        return self._frames(complete[0], complete[0].with_name("masks"))

    def _frames(self, images: Path, masks: Path) -> Iterator[Frame]:
        for image, mask in pairs(images, masks):
            yield Frame(
                image,
                image.relative_to(images).as_posix(),
                "polyp",
                mask,
                problem="" if mask else "no mask of its name in masks",
            )
