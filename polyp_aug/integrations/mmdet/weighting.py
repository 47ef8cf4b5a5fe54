"""Detectors that learn less, or more, from synthetic frames than from real ones.

A detector's loss is a sum over frames, divided by a number of objects of the batch. What a head makes of frame i is
multiplied by 1 in the forward pass, and its gradient by the frame's weight w_i in the backward pass. With loss terms
S_i of the frames and the batch's divisor P, the weights of the network learn from

    d/dθ Σ_i w_i S_i / P.

So what a real frame contributes never depends on w, 1 is the plain training, and no head, batch norm or divisor that
processes share is computed a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.detectors import DINO, YOLOX, CenterNet
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from torch import Tensor

from polyp_aug.errors import ConfigurationError


def scale_gradient(outputs: Any, weights: Tensor, dim: int = 0) -> Any:
    """The same values, whose gradients are multiplied by weights on their way back.

    Args:
        outputs: floating tensors, or tuples and lists of them.
        weights: float (N,), one for each frame.
        dim: the tensors' dimension of frames, of length N.
    """
    if isinstance(outputs, tuple | list):
        return type(outputs)(scale_gradient(item, weights, dim) for item in outputs)
    shape = [1] * outputs.dim()
    shape[dim] = len(weights)
    return _Scaled.apply(outputs, weights.reshape(shape))  # type: ignore[no-untyped-call]


def frame_weights(samples: Sequence[Any], train_cfg: Any) -> list[float]:
    """The weight of each frame: `synthetic_weight` of the synthetic ones, 1 of the others.

    Args:
        samples: data samples of mmdet.
        train_cfg: `train_cfg` of the detector.

    Raises:
        ConfigurationError: `synthetic_weight` is missing or negative, or a sample doesn't say whether it is synthetic.
    """
    weight = (train_cfg or {}).get("synthetic_weight")
    if not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        raise ConfigurationError(f"'synthetic_weight' in the model's 'train_cfg' must be at least 0 (got {weight!r})")
    for sample in samples:
        if "synthetic" not in sample:
            raise ConfigurationError(
                f"{sample.get('img_path')}: doesn't say whether it is synthetic; weights need OriginCocoDataset or "
                "PolypSynthesis, and 'synthetic' among the 'meta_keys' of PackDetInputs"
            )
    return [float(weight) if sample.synthetic else 1.0 for sample in samples]


class _Scaled(torch.autograd.Function):
    """Identity; its gradient is multiplied by weights."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(weights)
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weights,) = ctx.saved_tensors
        return gradient * weights.to(gradient.dtype), None


class _WeightedDense:
    """The loss of detectors whose head looks at every place of a feature map."""

    def loss(self: Any, batch_inputs: Tensor, batch_data_samples: Sequence[Any]) -> Any:
        """As the detector's own; the logged values are those of equal weights."""
        weights = batch_inputs.new_tensor(frame_weights(batch_data_samples, self.train_cfg))
        outputs = self.bbox_head(self.extract_feat(batch_inputs))
        objects, ignored, metas = unpack_gt_instances(batch_data_samples)
        return self.bbox_head.loss_by_feat(*scale_gradient(outputs, weights), objects, metas, ignored)


@MODELS.register_module()
class WeightedCenterNet(_WeightedDense, CenterNet):  # type: ignore[misc]
    """mmdet's `CenterNet`, which weighs synthetic frames by `train_cfg.synthetic_weight`."""


@MODELS.register_module()
class WeightedYOLOX(_WeightedDense, YOLOX):  # type: ignore[misc]
    """mmdet's `YOLOX`, which weighs synthetic frames by `train_cfg.synthetic_weight`."""


@MODELS.register_module()
class WeightedDINO(DINO):  # type: ignore[misc]
    """mmdet's `DINO`, which weighs synthetic frames by `train_cfg.synthetic_weight`."""

    def loss(self, batch_inputs: Tensor, batch_data_samples: Sequence[Any]) -> Any:
        """As the detector's own; the logged values are those of equal weights."""
        weights = batch_inputs.new_tensor(frame_weights(batch_data_samples, self.train_cfg))
        found = self.forward_transformer(self.extract_feat(batch_inputs), batch_data_samples)
        layers = self.bbox_head(found["hidden_states"], found["references"])
        proposals = (found["enc_outputs_class"], found["enc_outputs_coord"])
        return self.bbox_head.loss_by_feat(
            *scale_gradient(layers, weights, dim=1),
            *scale_gradient(proposals, weights),
            [sample.gt_instances for sample in batch_data_samples],
            [sample.metainfo for sample in batch_data_samples],
            found["dn_meta"],
        )
