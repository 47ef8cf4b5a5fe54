"""Augmentation while a detector trains: what the transforms for other libraries have in common."""

from polyp_aug.online.augmenter import Augmented, NewPolyp, OnlineAugmenter
from polyp_aug.online.live import LivePainter, load_live_painter
from polyp_aug.online.load import load_online_augmenter
from polyp_aug.online.schedule import Schedule
from polyp_aug.online.settings import OnlineSettings

__all__ = [
    "Augmented",
    "LivePainter",
    "NewPolyp",
    "OnlineAugmenter",
    "OnlineSettings",
    "Schedule",
    "load_live_painter",
    "load_online_augmenter",
]
