"""The command that makes a run again, as far as its settings tell."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyp_aug.errors import RunFolderDamagedError
from polyp_aug.generation.mask_drawer import KINDS
from polyp_aug.generation.run_folder import FRAMES, REMOVAL, RUN_NAME, task_of
from polyp_aug.reporting.run_state import KNOWN_TASKS
from polyp_aug.synthesizers.frame_options import EMBEDDED_FRAME_WEIGHTS
from polyp_aug.synthesizers.options import EMBEDDED_WEIGHTS, PaintingOptions

#: Length of a line of a command, from which on it is broken.
LINE = 60

#: Settings → flags, where the value is written as it is.
_SETTINGS = {
    "seed": "--seed",
    "count": "--count",
    "per_image": "--per-image",
    "polyps_per_image": "--polyps-per-image",
    "synthesizer": "--synthesizer",
    "proposer": "--proposer",
    "feather": "--feather",
    "attempts": "--attempts",
    "margin": "--margin",
    "batch_size": "--batch-size",
    "shard": "--shard",
}
_PAINTING = {
    "sampler": "--sampler",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance",
    "strength": "--strength",
    "mode": "--mode",
    "device": "--device",
    "dtype": "--dtype",
    "mask_guidance_scale": "--mask-guidance",
}
_SWITCHES = {"compile": "--compile", "channels_last": "--channels-last", "safety_checker": "--safety-checker"}
_INPUTS = {
    "backgrounds": "--backgrounds",
    "references": "--references",
    "database": "--database",
    "weights": "--weights",
    "base": "--base",
    "lora": "--lora",
}


@dataclass(frozen=True)
class RunCommand:
    """A command line.

    Attributes:
        text: for a shell, with the names of the inputs in the place of their paths; "" where the task is unknown.
        unknown: settings that it doesn't hold, because no flag is known for them.
    """

    text: str
    unknown: tuple[str, ...]


def shell_lines(words: Sequence[str]) -> str:
    """Words as a shell reads them, a flag always beside its value, in lines of about `LINE` letters."""
    lines = [""]
    for word in words:
        text = shlex.quote(word)
        if word.startswith("--") and len(lines[-1]) + len(text) > LINE:
            lines.append("   ")
        lines[-1] += f" {text}" if lines[-1] else text
    return " \\\n".join(lines)


def command_of(run: Mapping[str, Any]) -> RunCommand:
    """The command with a run's settings.

    Args:
        run: what `run.json` holds.

    Raises:
        RunFolderDamagedError: a setting has a wrong type.
    """
    try:
        return _command(run)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunFolderDamagedError(f"{RUN_NAME}: its settings can't be understood ({error!r})") from error


def _command(run: Mapping[str, Any]) -> RunCommand:
    task = task_of(run)
    if task not in KNOWN_TASKS:
        return RunCommand("", ())
    words = ["polyp-aug", "remove" if task == REMOVAL else "generate"]
    unknown: list[str] = []
    for name, value in run["inputs"].items():
        if name in _INPUTS and value not in (EMBEDDED_WEIGHTS, EMBEDDED_FRAME_WEIGHTS):
            words += ["--data" if (task, name) == (REMOVAL, "backgrounds") else _INPUTS[name], str(value)]
        elif name == "captions_sha256":
            words += ["--captions", "CAPTIONS"]
    for name, value in run["config"].items():
        if name == "painting" and isinstance(value, Mapping):
            for key, item in value.items():
                found = _painting_flags(task, key, item)
                unknown += [f"painting.{key}"] if found is None else []
                words += found or []
        else:
            found = _flags(task, name, value)
            unknown += [name] if found is None else []
            words += found or []
    return RunCommand(shell_lines([*words, "--out", "OUT"]), tuple(unknown))


def _flags(task: str, name: str, value: Any) -> list[str] | None:
    """The flags of a setting; none where it is the only choice, None where no flag is known."""
    if name == "task" or (name, value) in (("shard", "1/1"), ("check", True)):
        return []
    if name == "synthesizer" and task == REMOVAL:
        return []
    if name in _SETTINGS:
        return [_SETTINGS[name], str(value)]
    if name == "check":
        return ["--no-check"]
    if name == "size_range":
        return ["--size-range", "-".join(f"{number:g}" for number in value)]
    if name == "categories":
        return list(_repeated("--category", value))
    if name == "attributes":
        return list(_repeated("--attribute", [f"{key}={item}" for key, item in value.items()]))
    if name == "shapes":
        return ["--mask-shares", ",".join(f"{value[kind]:g}" for kind in KINDS)]
    return None


def _painting_flags(task: str, name: str, value: Any) -> list[str] | None:
    if (
        value is None
        or name == "batch_size"
        or (name, value) in (("strength", 1.0), ("context", PaintingOptions().context))
    ):
        return []
    if name in _SWITCHES:
        return [_SWITCHES[name]] if value else []
    if name == "size" and task == FRAMES:
        return ["--frame-size", str(value)]
    return [_PAINTING[name], str(value)] if name in _PAINTING else None


def _repeated(flag: str, values: list[str]) -> Iterator[str]:
    for value in values:
        yield from (flag, value)
