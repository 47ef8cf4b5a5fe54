"""CLIP (Radford et al., 2021) of transformers: projections of pictures and of texts.

Pictures are squeezed to the model's size, not cropped. Texts longer than the model's are cut off, and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer
from transformers.image_processing_base import ImageProcessingMixin

from polyp_aug.encoders.digest import digest_weights
from polyp_aug.encoders.pretrained import hub_source, load_pretrained, quiet
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.features import Features, extract_batches
from polyp_aug.images import ImageArray

#: Texts that go through the network at once.
_TEXTS = 64


class ClipFeatures:
    """A picture's projection into the space that it shares with texts.

    Args:
        weights: a transformers folder, or a hub id as `org/name@commit`; only safetensors are read.
        batch_size: pictures at once.
        device: where to compute.

    Raises:
        ConfigurationError: the weights can't be loaded, are not CLIP, or come without tokenizer or the mean and
            deviation of its pictures.
    """

    label = "CLIP"

    def __init__(self, weights: str, *, batch_size: int = 16, device: str = "cpu") -> None:
        self._batch_size, self._device = batch_size, device
        source, commit = hub_source(weights)
        model = load_pretrained(weights, ("clip",), unused=frozenset())
        try:
            with quiet():
                self._tokenizer: Any = AutoTokenizer.from_pretrained(source, revision=commit, trust_remote_code=False)
                settings, _ = ImageProcessingMixin.get_image_processor_dict(source, revision=commit)
            mean, deviation = (
                torch.tensor(settings[name], device=device).view(1, 3, 1, 1) for name in ("image_mean", "image_std")
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ConfigurationError(
                f"{weights}: no tokenizer, or no 'image_mean' and 'image_std' in preprocessor_config.json ({error})"
            ) from error
        self._mean, self._deviation = mean, deviation
        self.size = int(model.config.vision_config.image_size)
        self._longest = int(model.config.text_config.max_position_embeddings)
        decisive = f"{model.config.to_json_string()} {settings['image_mean']} {settings['image_std']}"
        self.revision = digest_weights(decisive, sorted(model.state_dict().items()))
        named = f"{weights}, " if commit else ""
        self.name = f"CLIP, projection of {model.config.projection_dim} ({named}weights {self.revision})"
        self._model = model.to(device)

    def extract(self, pictures: Iterable[ImageArray]) -> Features:
        """See `FeatureExtractor.extract`."""
        return extract_batches(pictures, self.size, self._batch_size, self._device, self._described)

    def embed(self, texts: Sequence[str]) -> Features:
        """Projections of texts, float64 (N, D).

        Raises:
            ConfigurationError: there is no text.
        """
        found = []
        for start in range(0, len(texts), _TEXTS):
            tokens = self._tokenizer(
                list(texts[start : start + _TEXTS]),
                padding=True,
                truncation=True,
                max_length=self._longest,
                return_tensors="pt",
            ).to(self._device)
            with torch.no_grad():
                read = self._model.text_model(
                    input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
                ).pooler_output
                found.append(self._model.text_projection(read).double().cpu().numpy())
        if not found:
            raise ConfigurationError("no texts to take features of")
        return np.concatenate(found)

    def cut_off(self, texts: Sequence[str]) -> int:
        """How many of the texts are longer than the model reads."""
        return sum(len(self._tokenizer(text, verbose=False)["input_ids"]) > self._longest for text in texts)

    def _described(self, pictures: Tensor) -> Tensor:
        seen = self._model.vision_model(pixel_values=(pictures / 255.0 - self._mean) / self._deviation).pooler_output
        found: Tensor = self._model.visual_projection(seen)
        return found
