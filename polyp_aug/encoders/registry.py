"""Patch encoders by name, folder or hub id."""

from __future__ import annotations

from polyp_aug.encoders.patches import PatchEncoder, PatchGrid
from polyp_aug.errors import ConfigurationError
from polyp_aug.optional import require

#: The encoder whose weights come with a package.
EFFICIENTNET_LITE0 = "efficientnet_lite0"

#: Length that the longer side is resized to by default, in pixels.
DEFAULT_SIDE = 384

#: What stands for the picture's own size.
NATIVE = 0


def load_encoder(name: str = EFFICIENTNET_LITE0, *, side: int = DEFAULT_SIDE, device: str = "cpu") -> PatchEncoder:
    """A patch encoder.

    Args:
        name: "efficientnet_lite0"; or DINOv2 as a transformers folder, or as a hub id `org/name@commit`.
        side: length in pixels that a picture's longer side is resized to, or 0 for its own size cut to whole patches.
        device: where it runs.

    Raises:
        ConfigurationError: the weights can't be loaded, or are not an encoder that is known; `side` is negative or
            shorter than a patch.
        MissingDependencyError: a package is not installed.
    """
    if side < NATIVE:
        raise ConfigurationError(f"'side' must be positive, or {NATIVE} for a picture's own size (got {side})")
    require("torch", "retrieval")
    if name == EFFICIENTNET_LITE0:
        from polyp_aug.encoders.efficientnet_patches import PATCH, load_efficientnet_patches

        return load_efficientnet_patches(name, PatchGrid(PATCH, side or None), device)
    require("transformers", "retrieval")
    from polyp_aug.encoders.dinov2 import load_dinov2_patches

    return load_dinov2_patches(name, side or None, device)
