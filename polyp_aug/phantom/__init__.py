"""Procedural endoscopic phantoms: a colon made of formulas, with polyps whose masks are exact.

A tube with haustral folds is met by the rays of a wide-angle camera and lit from beside it; shading, dark depth and
highlights follow from the form. Phantoms make tests and the demo self-contained; they show no patient.
"""

from polyp_aug.phantom.dataset import write_phantom_dataset
from polyp_aug.phantom.frame import Phantom, render_phantom
from polyp_aug.phantom.growth import PhantomPolyp

__all__ = ["Phantom", "PhantomPolyp", "render_phantom", "write_phantom_dataset"]
