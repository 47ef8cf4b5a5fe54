"""Training a detector from a config of mmdet on COCO sets, with mmengine's runner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.runner import Runner, find_latest_checkpoint

from polyp_aug.errors import ConfigurationError
from polyp_aug.integrations.mmdet.checkpoints import history_allowed
from polyp_aug.integrations.mmdet.configs import read_config, use_data


def train_detector(
    config: Path,
    data: Sequence[Path],
    validation: Path,
    work_dir: Path,
    *,
    options: Sequence[str] = (),
    resume: bool = False,
    amp: bool = False,
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
        options: changes of the config as `key=value`.
        resume: go on from the folder's last checkpoint; where there is none, begin.
        amp: mixed precision, on an accelerator.
        seed: of the order of frames, the transforms and the first weights.

    Returns:
        The last checkpoint.

    Raises:
        CocoError: a COCO file breaks the format.
        ConfigurationError: the config or a set doesn't fit, the folder holds a training that isn't to be resumed, or
            `amp` is asked for without an accelerator.
        MissingDependencyError: a package that the config's backbone needs is not installed.
    """
    if amp and not torch.cuda.is_available():
        raise ConfigurationError("'amp' needs an accelerator; on a processor, train without it")
    if not resume and (work_dir / "last_checkpoint").exists():
        raise ConfigurationError(f"{work_dir}: holds a training already; resume it, or choose another folder")
    settings = read_config(config, options)
    use_data(settings, data, validation)
    settings.work_dir = str(work_dir)
    settings.resume = resume
    settings.randomness = {"seed": seed}
    if amp:
        settings.optim_wrapper.type = "AmpOptimWrapper"
        settings.optim_wrapper.setdefault("loss_scale", "dynamic")
    with history_allowed():
        Runner.from_cfg(settings).train()
    return Path(find_latest_checkpoint(str(work_dir)))
