"""The data sets that can be prepared, by their names on the command line."""

from __future__ import annotations

from polyp_aug.datasets.base import Layout
from polyp_aug.datasets.cvc_clinicdb import CvcClinicDb
from polyp_aug.datasets.hyperkvasir import HyperKvasir
from polyp_aug.datasets.kvasir_seg import KvasirSeg
from polyp_aug.datasets.ldpolypvideo import LdPolypVideo
from polyp_aug.datasets.manifest import Manifest
from polyp_aug.datasets.polypgen import PolypGen
from polyp_aug.datasets.sun import Sun
from polyp_aug.datasets.yolo import Yolo
from polyp_aug.errors import ConfigurationError

#: Command-line name → layout, in alphabetical order.
LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (CvcClinicDb(), HyperKvasir(), KvasirSeg(), LdPolypVideo(), Manifest(), PolypGen(), Sun(), Yolo())
}


def find_layout(name: str) -> Layout:
    """The layout of this name.

    Raises:
        ConfigurationError: there is none.
    """
    if name not in LAYOUTS:
        raise ConfigurationError(f"data set {name!r}, expected one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]
