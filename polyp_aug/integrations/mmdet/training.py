"""Training a detector from a config of mmdet on COCO sets, with mmengine's runner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import barrier
from mmengine.runner import Runner, find_latest_checkpoint

from polyp_aug.errors import ConfigurationError
from polyp_aug.integrations.launchers import Launcher
from polyp_aug.integrations.mmdet.checkpoints import history_allowed
from polyp_aug.integrations.mmdet.configs import read_config, settle_sampler, stretch_schedule, use_data, use_pool
from polyp_aug.integrations.mmdet.launching import launched


def train_detector(
    config: Path,
    data: Sequence[Path],
    validation: Path,
    work_dir: Path,
    *,
    synthetic: Sequence[Path] = (),
    pool: Path | None = None,
    options: Sequence[str] = (),
    resume: bool = False,
    iterations: int | None = None,
    amp: bool = False,
    launcher: Launcher = "none",
    seed: int = 0,
) -> Path:
    """Train a detector.

    mmengine seeds and uses the global random state, and names its logs by the clock. The weights of two trainings with
    equal inputs and threads agree.

    Args:
        config: file of the config; see `read_config`.
        data: COCO sets to train on, joined; frames without polyps are used as well.
        validation: COCO set to measure on.
        work_dir: folder for checkpoints, logs, and the config as it was used.
        synthetic: generated COCO sets, joined, for a config that mixes them with the real ones by a ratio.
        pool: what the config's `PolypSynthesis` draws from: a pool, or a run folder. None: what the config names.
        options: changes of the config as `key=value`.
        resume: go on from the folder's last checkpoint; where there is none, begin.
        iterations: length of the training; the config's schedule is stretched to it. None: the config's own.
        amp: mixed precision: float16 on an accelerator, bfloat16 on a processor.
        launcher: the program that started this process and others beside it; each trains on batches of its own.
        seed: of the order of frames, the transforms and the first weights.

    Returns:
        The last checkpoint.

    Raises:
        CocoError: a COCO file breaks the format.
        ConfigurationError: the config or a set doesn't fit, the folder holds a training that isn't to be resumed, or
            the launcher did not start this process.
        MissingDependencyError: a package that the config's backbone needs is not installed.
    """
    if not resume and (work_dir / "last_checkpoint").exists():
        raise ConfigurationError(f"{work_dir}: holds a training already; resume it, or choose another folder")
    settings = read_config(config, options)
    use_data(settings, data, validation, synthetic)
    if pool is not None:
        use_pool(settings, pool)
    settings.work_dir = str(work_dir)
    settings.resume = resume
    settings.randomness = {"seed": seed}
    if iterations is not None:
        stretch_schedule(settings, iterations)
    settle_sampler(settings)
    if amp:
        _use_mixed_precision(settings)
    with launched(settings, launcher):
        runner = Runner.from_cfg(settings)
        # Convolutions on a processor are a fifth to a half faster in this layout, and on an accelerator not slower.
        runner.model.to(memory_format=torch.channels_last)
        with history_allowed():
            runner.train()
        # The first process writes the checkpoint that all of them name.
        barrier()
    return Path(find_latest_checkpoint(str(work_dir)))


def _use_mixed_precision(settings: Config) -> None:
    if torch.cuda.is_available():
        settings.optim_wrapper.type = "AmpOptimWrapper"
        settings.optim_wrapper.setdefault("loss_scale", "dynamic")
    else:
        settings.optim_wrapper.type = "ProcessorAmpOptimWrapper"
