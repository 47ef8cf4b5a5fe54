"""The program `yolo` of ultralytics, which is started as a process and never imported."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from polyp_aug.errors import MissingDependencyError, ProgramError, StorageError

#: Lines of a log that stand in an error.
_SHOWN = 12

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def find_program(command: str) -> str:
    """The path of the program.

    Args:
        command: its path, or its name in a folder of PATH.

    Raises:
        MissingDependencyError: there is none.
    """
    found = shutil.which(command)
    if found is None:
        raise MissingDependencyError(
            f"the program {command!r} is not there or not on PATH: install ultralytics (AGPL-3.0, never a dependency "
            "of polyp_aug) into an environment of its own, python -m venv YOLO && YOLO/bin/pip install ultralytics, "
            "and give YOLO/bin/yolo as the detector's 'command'"
        )
    return found


def run_program(command: Sequence[str], log: Path) -> None:
    """Run it to its end; it ends, with all that it started, when this process does, however that comes.

    Args:
        command: the program and its arguments.
        log: file to which everything that it prints is added.

    Raises:
        ProgramError: it ended with an error; the message holds the end of what it printed.
        StorageError: the log can't be written.
    """
    try:
        stream = open(log, "ab")  # noqa: SIM115
    except OSError as error:
        raise StorageError(error.errno, f"{log}: can't be written ({error.strerror or error})") from error
    with stream:
        start = stream.tell()
        supervised = [sys.executable, "-m", "polyp_aug.integrations.supervisor", *command]
        with subprocess.Popen(supervised, stdin=subprocess.PIPE, stdout=stream, stderr=stream) as process:
            code = process.wait()
    if code:
        raise ProgramError(f"{' '.join(command[:3])} ended with {code}; {log} ends with:\n{_tail(log, start)}")


def program_version(program: str) -> str:
    """Which ultralytics it is of.

    Raises:
        ProgramError: it doesn't say.
    """
    done = subprocess.run([program, "version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    lines = done.stdout.split()
    if done.returncode or not lines:
        raise ProgramError(f"{program} version ended with {done.returncode}: {(done.stdout + done.stderr).strip()!r}")
    return lines[-1]


def _tail(log: Path, start: int) -> str:
    text = _COLOURS.sub("", log.read_bytes()[start:].decode("utf-8", "replace"))
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-_SHOWN:])
