"""Public polyp data sets, from their published folder layouts to one COCO folder."""

from polyp_aug.datasets.base import Frame, Layout, Licence
from polyp_aug.datasets.prepare import prepare_dataset
from polyp_aug.datasets.registry import LAYOUTS
from polyp_aug.datasets.report import PrepareReport, SkippedFrame

__all__ = ["LAYOUTS", "Frame", "Layout", "Licence", "PrepareReport", "SkippedFrame", "prepare_dataset"]
