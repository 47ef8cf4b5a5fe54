"""DINOv2 (Oquab et al., 2023): its class token, whose Fréchet distance agrees with people (Stein et al., NeurIPS 2023).

Pictures of 224 px, of whole patches of 14 px; they are squeezed to that before, not cropped.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from polyp_aug.encoders.digest import digest_weights
from polyp_aug.encoders.imagenet import DEVIATION, MEAN
from polyp_aug.encoders.pretrained import hub_source, load_pretrained
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.features import Features, extract_batches
from polyp_aug.images import ImageArray

#: transformers' names of what can be loaded.
MODEL_TYPES = ("dinov2", "dinov2_with_registers")

#: Used in training only.
_UNUSED = frozenset({"embeddings.mask_token"})

#: Settings that decide the features and that the weights don't tell.
_SETTINGS = ("num_attention_heads", "hidden_act", "layer_norm_eps")


class Dinov2Features:
    """The class token of the last layer, after its normalisation.

    Args:
        weights: a transformers folder, or a hub id as `org/name@commit`; only safetensors are read.
        batch_size: pictures at once.
        device: where to compute.

    Raises:
        ConfigurationError: the weights can't be loaded, are not DINOv2, or have patches that 224 px can't be cut into.
    """

    size = 224
    label = "DINOv2"

    def __init__(self, weights: str, *, batch_size: int = 16, device: str = "cpu") -> None:
        self._batch_size, self._device = batch_size, device
        model = load_pretrained(weights, MODEL_TYPES, unused=_UNUSED)
        config = model.config
        if self.size % config.patch_size:
            raise ConfigurationError(f"{weights}: patches of {config.patch_size} px, expected a divisor of {self.size}")
        settings = " ".join(str(getattr(config, name)) for name in _SETTINGS)
        self.revision = digest_weights(f"class token {self.size} {settings}", sorted(model.state_dict().items()))
        source = f"{weights}, " if hub_source(weights)[1] else ""
        self.name = f"{config.model_type}, class token of {config.hidden_size} ({source}weights {self.revision})"
        self._model = model.to(device)
        self._mean, self._deviation = (
            torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (MEAN, DEVIATION)
        )

    def extract(self, pictures: Iterable[ImageArray]) -> Features:
        """See `FeatureExtractor.extract`."""
        return extract_batches(pictures, self.size, self._batch_size, self._device, self._described)

    def _described(self, pictures: Tensor) -> Tensor:
        found: Tensor = self._model(pixel_values=(pictures / 255.0 - self._mean) / self._deviation).last_hidden_state
        return found[:, 0]
