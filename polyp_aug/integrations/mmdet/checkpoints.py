"""mmengine's checkpoints, read without running code from them.

A checkpoint holds the history of the logged values besides weights. Since 2.6 torch refuses classes that it doesn't
know; those of the history are named here, instead of trusting whatever a file asks for. It also asks for `getattr`,
which would open the way to everything else: what it gets reaches the history's four functions only.
"""

from __future__ import annotations

import pickle
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from numpy._core import multiarray
from torch import nn

from polyp_aug.errors import ConfigurationError

#: Functions of the history that a checkpoint refers to.
_STATISTICS = ("current", "max", "mean", "min")


def history_allowed() -> AbstractContextManager[None]:
    """While it is open, `torch.load` reads the history in mmengine's checkpoints, so that mmengine can resume."""
    return torch.serialization.safe_globals(_ALLOWED)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of mmengine onto the processor.

    Raises:
        ConfigurationError: the file can't be read, holds classes that a checkpoint has no use for, or no weights.
    """
    try:
        with history_allowed():
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ConfigurationError(f"{path}: can't be read as a checkpoint ({error})") from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise ConfigurationError(f"{path}: no checkpoint of mmengine, expected a dict with 'state_dict'")
    return checkpoint


def load_weights(model: nn.Module, path: Path) -> None:
    """Give a model the weights of a checkpoint; where its training kept averages, those.

    Raises:
        ConfigurationError: as `read_checkpoint`, or the weights are of another model.
    """
    try:
        model.load_state_dict(read_checkpoint(path)["state_dict"], strict=True)
    except RuntimeError as error:
        raise ConfigurationError(f"{path}: weights of another model than the config's ({error})") from error


def _statistic(owner: object, name: str) -> Any:
    """What stands in for `getattr`, by which a checkpoint names the history's functions."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise pickle.UnpicklingError(f"asks for the attribute {name!r} of {owner!r}")
    return getattr(HistoryBuffer, name)


_ALLOWED: list[Any] = [
    HistoryBuffer,
    (_statistic, "builtins.getattr"),
    np.ndarray,
    np.dtype,
    type(np.dtype(np.float64)),
    type(np.dtype(np.int64)),
    (multiarray._reconstruct, "numpy._core.multiarray._reconstruct"),
    (multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),
    (multiarray.scalar, "numpy._core.multiarray.scalar"),
    (multiarray.scalar, "numpy.core.multiarray.scalar"),
]
