"""How well a polyp was painted: measures that real polyps have within known ranges."""

from __future__ import annotations

from polyp_aug.curation.colour_step import colour_step
from polyp_aug.curation.ghosting import doubling, see_through
from polyp_aug.curation.lighting import glare, saturation
from polyp_aug.curation.polyp_view import PolypView
from polyp_aug.curation.seams import rim, seam
from polyp_aug.curation.sharpness import sharpness

#: The file with the ranges of real polyps, and what goes with each measure in words: too small, too large.
FAMILY = "polyp_quality"
WORDS = {
    "sharpness": ("more blurred than its frame", "sharper than its frame"),
    "glare": ("", "over-lit"),
    "saturation": ("", "over-saturated"),
    "see_through": ("", "the background shines through"),
    "doubling": ("", "structure is there twice"),
    "rim": ("", "edge like a sticker"),
    "seam": ("", "seam where painting ends"),
    "lightness_step": ("darker than real polyps beside their mucosa", "lighter than real polyps beside their mucosa"),
    "redness_step": ("greener than real polyps beside their mucosa", "redder than real polyps beside their mucosa"),
    "yellowness_step": ("bluer than real polyps beside their mucosa", "yellower than real polyps beside their mucosa"),
}


def measure_polyp(polyp: PolypView) -> dict[str, float | None]:
    """All measures of a polyp, by the names of `WORDS`; None where one can't be taken."""
    step = colour_step(polyp) or (None, None, None)
    return {
        "sharpness": sharpness(polyp),
        "glare": glare(polyp),
        "saturation": saturation(polyp),
        "see_through": see_through(polyp),
        "doubling": doubling(polyp),
        "rim": rim(polyp),
        "seam": seam(polyp),
        "lightness_step": step[0],
        "redness_step": step[1],
        "yellowness_step": step[2],
    }
