"""`MixingHook`: what a sampler was told of a training is checked, and the share of synthetic frames logged."""

from __future__ import annotations

from typing import Any

from mmdet.registry import HOOKS as MMDET_HOOKS
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

from polyp_aug.errors import ConfigurationError
from polyp_aug.integrations.mmdet.drawing import DrawnSampler
from polyp_aug.integrations.mmdet.mixing import MixingSampler
from polyp_aug.registry import HOOKS


@HOOKS.register_module()
@MMDET_HOOKS.register_module()
class MixingHook(Hook):  # type: ignore[misc]
    """Refuse a sampler that expects another training, and log `synthetic_share`, that of the batch just trained on.

    Only batches whose data samples say whether they are synthetic are counted; see `OriginCocoDataset`.
    """

    def before_train(self, runner: Any) -> None:
        """Compare the sampler with the training.

        Raises:
            ConfigurationError: they differ in their length or the size of a batch, or the training counts epochs and a
                `MixingSampler` does not.
        """
        sampler, size = runner.train_dataloader.sampler, runner.train_dataloader.batch_size
        if not isinstance(sampler, DrawnSampler | MixingSampler):
            return
        kind = type(sampler).__name__
        endless = isinstance(sampler, MixingSampler) and sampler.batches_per_epoch is None
        if endless and isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ConfigurationError(f"{kind} needs 'batches_per_epoch' in a training that counts epochs")
        for name, told, true in (
            ("iterations", sampler.iterations, runner.max_iters),
            ("batch_size", sampler.batch_size, size),
        ):
            if told is not None and told != true:
                raise ConfigurationError(f"{name!r} of {kind} is {told}, the training's is {true}; they must agree")

    def after_train_iter(self, runner: Any, data_batch: Any = None, **_: Any) -> None:
        """Count the synthetic frames of the batch."""
        samples = data_batch["data_samples"]
        marks = [bool(sample.synthetic) for sample in samples if "synthetic" in sample]
        if marks:
            runner.message_hub.update_scalar("train/synthetic_share", sum(marks) / len(marks))
