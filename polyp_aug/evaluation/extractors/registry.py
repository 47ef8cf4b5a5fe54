"""Extractors by name and weights."""

from __future__ import annotations

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.extractors.names import CLIP, DINOV2, EFFICIENTNET_LITE0, INCEPTION, NAMES
from polyp_aug.evaluation.features import EfficientNetLiteFeatures, PictureExtractor
from polyp_aug.optional import require


def load_extractor(text: str, *, batch_size: int = 16, device: str = "cpu") -> PictureExtractor:
    """An extractor by `NAME` or `NAME=WEIGHTS`.

    Args:
        text: `efficientnet_lite0`; `inception`, with a file of weights or without, then torch-fidelity downloads them;
            `dinov2=` or `clip=` with a transformers folder or a hub id `org/name@commit`.
        batch_size: pictures at once.
        device: where to compute.

    Raises:
        ConfigurationError: there is no such extractor, weights are missing or can't be loaded.
        MissingDependencyError: a package is not installed.
    """
    name, equals, weights = text.partition("=")
    if name not in NAMES or (equals and not weights):
        raise ConfigurationError(f"no extractor {text!r}, expected NAME or NAME=WEIGHTS, of {', '.join(NAMES)}")
    if name in (DINOV2, CLIP) and not weights:
        raise ConfigurationError(f"extractor {text!r}: expected {name}=FOLDER or {name}=org/name@commit")
    if batch_size < 1:
        raise ConfigurationError(f"'batch_size' must be at least 1 (got {batch_size})")
    if name == EFFICIENTNET_LITE0:
        if weights:
            raise ConfigurationError(f"extractor {text!r}: expected {name} alone, its weights come with it")
        return EfficientNetLiteFeatures(batch_size=batch_size, device=device)
    if name == INCEPTION:
        from polyp_aug.evaluation.extractors.inception import InceptionFeatures

        return InceptionFeatures(weights or None, batch_size=batch_size, device=device)
    require("safetensors", "retrieval")
    require("transformers", "retrieval")
    if name == DINOV2:
        from polyp_aug.evaluation.extractors.dinov2 import Dinov2Features

        return Dinov2Features(weights, batch_size=batch_size, device=device)
    from polyp_aug.evaluation.extractors.clip import ClipFeatures

    return ClipFeatures(weights, batch_size=batch_size, device=device)
