"""mmengine's runner in several processes, on accelerators or on processors alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from torch import distributed

from polyp_aug.errors import ConfigurationError
from polyp_aug.integrations.launchers import Launcher, state_ranks


@contextmanager
def launched(settings: Config, launcher: Launcher) -> Iterator[None]:
    """While it is open, a runner that is built from a config is one of the processes of a launcher.

    Args:
        settings: to change: launcher, and without an accelerator the backend and what wraps the model.
        launcher: the program that started this process; with "none" it is alone.

    Raises:
        ConfigurationError: the launcher did not start this process, or does not say where the first one listens.
    """
    state_ranks(launcher)
    settings.launcher = launcher
    # mmdet's MobileNetV2 freezes its stages after the model was wrapped, which would then wait for their gradients.
    settings.find_unused_parameters = settings.get("find_unused_parameters", True)
    if launcher != "none" and not torch.cuda.is_available():
        _join_without_accelerator(settings, launcher)
    try:
        yield
    finally:
        if launcher != "none" and distributed.is_initialized():
            distributed.destroy_process_group()


def _join_without_accelerator(settings: Config, launcher: Launcher) -> None:
    """Meet the other processes here: mmengine would ask for a CUDA device, in joining and in wrapping the model."""
    if "MASTER_ADDR" not in os.environ:
        raise ConfigurationError(
            f"'launcher' is {launcher!r}, but MASTER_ADDR is not set: expected the address of the first process"
        )
    settings.env_cfg.dist_cfg.backend = "gloo"
    settings.model_wrapper_cfg = {
        "type": "MMDistributedDataParallel",
        "device_ids": None,
        "broadcast_buffers": False,
        "find_unused_parameters": settings.find_unused_parameters,
    }
    distributed.init_process_group(**settings.env_cfg.dist_cfg)
