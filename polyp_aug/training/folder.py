"""The folder of a training: settings, state and log; a training that was killed goes on from it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from polyp_aug.errors import RunConfigurationChanged
from polyp_aug.images import write_bytes

CONFIG_NAME = "config.json"
STATE_NAME = "state.pt"
LOG_NAME = "log.jsonl"


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training is.

    Attributes:
        step: steps that are done.
        steps: in all.
        loss: its mean since the last report.
        measures: name → value, on validation data.
    """

    step: int
    steps: int
    loss: float
    measures: Mapping[str, float]


class TrainingFolder:
    """A folder for one training.

    The state holds the log as well, so that after a kill both tell of the same step.

    Args:
        path: the folder, made where it is missing.
        settings: everything that decides the outcome, in JSON types; a folder is only continued with equal ones.

    Raises:
        RunConfigurationChanged: the folder was begun with other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.log: list[dict[str, Any]] = []
        path.mkdir(parents=True, exist_ok=True)
        wanted = json.loads(json.dumps(settings))
        file = path / CONFIG_NAME
        # Nothing was learned yet where there is no state: what was tried before may have failed for its settings.
        if not file.exists() or not (path / STATE_NAME).exists():
            write_bytes(file, json.dumps(wanted, indent=2).encode())
            return
        old = json.loads(file.read_bytes())
        changed = [
            f"{name} was {old.get(name)!r}, is {wanted.get(name)!r}"
            for name in sorted({*old, *wanted})
            if old.get(name) != wanted.get(name)
        ]
        if changed:
            raise RunConfigurationChanged(f"{path}: begun with other settings ({'; '.join(changed)})")

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last, on the CPU, or None."""
        file = self.path / STATE_NAME
        if not file.exists():
            return None
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        self.log = state.pop("log")
        return state

    def save(self, state: Mapping[str, Any], progress: TrainingProgress) -> None:
        """Save the state, atomically, and add a line to the log."""
        self.log.append({"step": progress.step, "loss": progress.loss, **progress.measures})
        temporary = self.path / f".{STATE_NAME}.tmp"
        torch.save({**state, "log": self.log}, temporary)
        temporary.replace(self.path / STATE_NAME)
        write_bytes(self.path / LOG_NAME, "".join(json.dumps(entry) + "\n" for entry in self.log).encode())

    def replace(self, name: str, write: Callable[[Path], None]) -> None:
        """Write a folder of the training anew: the old one stays until the new one is whole.

        Configurations are cleared of this machine's paths.

        Args:
            name: of the folder.
            write: writes into the path that it is given.
        """
        fresh, old = self.path / f".{name}.new", self.path / f".{name}.old"
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        write(fresh)
        publish(fresh)
        if (self.path / name).exists():
            (self.path / name).rename(old)
        fresh.rename(self.path / name)
        shutil.rmtree(old, ignore_errors=True)


def publish(folder: Path) -> None:
    """Take paths of this machine out of diffusers' configurations, and give the weights the usual permissions."""
    mask = os.umask(0)
    os.umask(mask)
    for file in (path for path in folder.rglob("*") if path.is_file()):
        if file.name in ("config.json", "model_index.json"):
            found = json.loads(file.read_bytes())
            if "_name_or_path" in found:
                del found["_name_or_path"]
                write_bytes(file, json.dumps(found, indent=2).encode() + b"\n")
        file.chmod(0o666 & ~mask)
