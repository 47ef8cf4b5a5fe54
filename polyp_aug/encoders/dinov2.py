"""DINOv2 (Oquab et al., 2023) as a patch encoder: the last layer's patch tokens, without the class token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polyp_aug.encoders.digest import digest_weights
from polyp_aug.encoders.imagenet import DEVIATION, MEAN
from polyp_aug.encoders.patches import PatchEncoder, PatchGrid
from polyp_aug.encoders.pretrained import load_pretrained
from polyp_aug.encoders.torch_patches import TorchPatchEncoder

#: transformers' names of what can be loaded.
MODEL_TYPES = ("dinov2", "dinov2_with_registers")

#: Used in training only.
_UNUSED = frozenset({"embeddings.mask_token"})

#: Settings that decide the features and that the weights don't tell.
_SETTINGS = ("num_attention_heads", "hidden_act", "layer_norm_eps")


def load_dinov2_patches(name: str, side: int | None, device: str = "cpu") -> PatchEncoder:
    """DINOv2 of any size, with or without registers.

    Args:
        name: a transformers folder, or a hub id as `org/name@commit`.
        side: see `PatchGrid`.
        device: where it runs.

    Raises:
        ConfigurationError: it can't be loaded, or is not DINOv2.
    """
    return wrap_dinov2(
        load_pretrained(name, MODEL_TYPES, unused=_UNUSED), side, device, weights="" if Path(name).is_dir() else name
    )


def wrap_dinov2(model: Any, side: int | None, device: str = "cpu", *, weights: str = "") -> PatchEncoder:
    """A transformers `Dinov2Model` or `Dinov2WithRegistersModel` that is loaded already, as a patch encoder.

    Args:
        model: the model; it is moved to `device`, put into evaluation mode and frozen.
        side: see `PatchGrid`.
        device: where it runs.
        weights: see `PatchEncoder`.
    """
    config = model.config
    grid = PatchGrid(int(config.patch_size), side)
    settings = " ".join(str(getattr(config, name)) for name in _SETTINGS)
    revision = digest_weights(f"{grid} {settings}", sorted(model.state_dict().items()))
    network = _PatchTokens(model).to(device).eval().requires_grad_(False)
    name = f"{config.model_type} {config.hidden_size}"
    return TorchPatchEncoder(name, revision, int(config.hidden_size), grid, weights, network, device)


class _PatchTokens(nn.Module):
    """The patch tokens of a model, as a grid."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._mean: Tensor
        self._deviation: Tensor
        self._model = model
        self._patch = int(model.config.patch_size)
        self._others = 1 + int(getattr(model.config, "num_register_tokens", 0))
        self.register_buffer("_mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("_deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        count, _, height, width = pictures.shape
        found = self._model(pixel_values=(pictures - self._mean) / self._deviation)
        tokens: Tensor = found.last_hidden_state[:, self._others :]
        return tokens.transpose(1, 2).reshape(count, -1, height // self._patch, width // self._patch)
