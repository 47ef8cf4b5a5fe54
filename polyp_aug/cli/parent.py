"""Ending with the process that started this one: its end of our standard input closes, however it ends."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable


def when_input_closes(action: Callable[[], object]) -> None:
    """Wait, in a thread, for the end of standard input, and do something then."""

    def wait() -> None:
        # Not through sys.stdin: a thread that waits inside of it keeps the interpreter from shutting down.
        while os.read(sys.stdin.fileno(), 1024):
            pass
        action()

    threading.Thread(target=wait, daemon=True).start()


def end_with_parent() -> None:
    """End this process, at once, when standard input closes; what it was writing is taken up by the next one."""
    when_input_closes(lambda: os._exit(1))
