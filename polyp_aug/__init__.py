"""Polyp data-set augmentation: new polyps painted into endoscopy frames, with their annotations.

Importing the package is light; each public name is loaded from its module when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_MODULES = {
    "Augmenter": "polyp_aug.augmenter",
    "AugmenterSettings": "polyp_aug.augmenter",
    "GenerateConfig": "polyp_aug.generation.config",
    "Key": "polyp_aug.keys",
    "PolypAugError": "polyp_aug.errors",
    "ReferenceBank": "polyp_aug.references",
    "Remover": "polyp_aug.removal",
    "Scene": "polyp_aug.scene",
    "generate": "polyp_aug.generation.generate",
    "load_proposer": "polyp_aug.proposers.registry",
    "load_synthesizer": "polyp_aug.synthesizers.registry",
    "read_coco": "polyp_aug.coco.read",
    "read_image": "polyp_aug.images",
}

if TYPE_CHECKING:
    from polyp_aug.augmenter import Augmenter, AugmenterSettings
    from polyp_aug.coco.read import read_coco
    from polyp_aug.errors import PolypAugError
    from polyp_aug.generation.config import GenerateConfig
    from polyp_aug.generation.generate import generate
    from polyp_aug.images import read_image
    from polyp_aug.keys import Key
    from polyp_aug.proposers.registry import load_proposer
    from polyp_aug.references import ReferenceBank
    from polyp_aug.removal import Remover
    from polyp_aug.scene import Scene
    from polyp_aug.synthesizers.registry import load_synthesizer

__all__ = [
    "Augmenter",
    "AugmenterSettings",
    "GenerateConfig",
    "Key",
    "PolypAugError",
    "ReferenceBank",
    "Remover",
    "Scene",
    "__version__",
    "generate",
    "load_proposer",
    "load_synthesizer",
    "read_coco",
    "read_image",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'polyp_aug' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
