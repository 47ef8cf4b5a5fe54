"""What identifies a network that is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def digest_weights(settings: str, weights: Iterable[tuple[str, Tensor]]) -> str:
    """16 digits of a SHA-256 over settings, and over names and bytes of weights in their order."""
    digest = hashlib.sha256(settings.encode())
    for name, values in weights:
        digest.update(name.encode())
        digest.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
