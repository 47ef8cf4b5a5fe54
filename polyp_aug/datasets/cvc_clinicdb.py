"""CVC-ClinicDB: 612 frames of 29 sequences, with masks."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from pathlib import Path

from polyp_aug.datasets.base import Frame, Layout, Licence, find_folders, pairs

#: Last frame of each of the 29 sequences; frames are numbered from 1. The source is named in docs/datasets.md.
SEQUENCE_ENDS = (
    *(25, 50, 67, 78, 103, 126, 151, 177, 199, 205, 227, 252, 277, 297, 317),
    *(342, 363, 383, 408, 428, 447, 466, 478, 503, 528, 546, 571, 591, 612),
)

_MASK_FOLDERS = ("Ground Truth", "Ground_Truth", "GroundTruth")


class CvcClinicDb(Layout):
    """The TIFF release, or the copy that holds PNG and TIFF folders; PNG is taken where both are there.

    The sequence comes from `metadata.csv` where it is there, else from the frame's number.
    """

    name = "cvc_clinicdb"
    title = "CVC-ClinicDB"
    licence = Licence(
        "CVC-ClinicDB: terms on its page; cite Bernal et al. 2015", "https://polyp.grand-challenge.org/CVCClinicDB/"
    )
    homepage = "https://polyp.grand-challenge.org/CVCClinicDB/"
    expected = """\
CVC-ClinicDB/
  Original/<number>.tif
  Ground Truth/<number>.tif
or
  PNG/Original/<number>.png
  PNG/Ground Truth/<number>.png
  metadata.csv   (optional: frame_id, sequence_id)"""

    def frames(self, root: Path) -> Iterator[Frame]:
        """See `Layout.frames`."""
        found = sorted(find_folders(root, "Original"), key=lambda path: path.parent.name.upper() != "PNG")
        if not found:
            raise self.error(root, "no folder named Original")
        masks = [path for name in _MASK_FOLDERS if (path := found[0].with_name(name)).is_dir()]
        if not masks:
            raise self.error(root, f"{found[0].relative_to(root)} is there, but no folder 'Ground Truth' beside it")
        return self._frames(found[0], masks[0], self._sequences(root, found[0]))

    def _frames(self, images: Path, masks: Path, listed: dict[str, str] | None) -> Iterator[Frame]:
        for image, mask in pairs(images, masks):
            sequence = _numbered(image.stem) if listed is None else listed.get(image.stem, "")
            yield Frame(
                image,
                image.relative_to(images).as_posix(),
                "polyp",
                mask,
                group=f"{self.name}-sequence-{sequence}" if sequence else "",
                problem="" if mask else f"no mask of its name in {masks.name}",
            )

    def _sequences(self, root: Path, images: Path) -> dict[str, str] | None:
        folders = [images.parent] if images.parent == root else [images.parent, images.parents[1]]
        files = [path for folder in folders if (path := folder / "metadata.csv").is_file()]
        if not files:
            return None
        rows = self.rows(root, files[0], ("frame_id", "sequence_id"))
        return {row["frame_id"]: row["sequence_id"] for _, row in rows}


def _numbered(stem: str) -> str:
    if not (stem.isascii() and stem.isdigit() and 1 <= int(stem) <= SEQUENCE_ENDS[-1]):
        return ""
    return str(bisect.bisect_left(SEQUENCE_ENDS, int(stem)) + 1)
