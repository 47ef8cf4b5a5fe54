"""Run a program that knows nothing of us, and end it, with all that it started, when the one who asked for it ends.

    python -m polyp_aug.integrations.supervisor PROGRAM ARGUMENT …

Whoever starts this holds its standard input open; the operating system closes that, however they end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence


def supervise(command: Sequence[str]) -> int:
    """Run a program in a process group of its own, which also is this process's, until it or standard input ends.

    Returns:
        What the program ended with; 128 and the signal's number where a signal ended it.
    """
    os.setsid()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_input, daemon=True).start()
    code = process.wait()
    return code if code >= 0 else 128 - code


def _end_with_input() -> None:
    """Wait for the end of standard input, then end the group, this process included."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
