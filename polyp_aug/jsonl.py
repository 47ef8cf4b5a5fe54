"""Files of JSON lines that are appended to, and that a kill may leave with an incomplete last line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from polyp_aug.errors import StorageError


def append_records(file: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Add records, in ASCII, and wait until they are on disk.

    Raises:
        StorageError: the file can't be written; what was there stays.
    """
    lines = b"".join(
        json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode() + b"\n" for record in records
    )
    try:
        with open(file, "ab") as stream:
            stream.write(lines)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise StorageError(error.errno, f"{file}: can't be written ({error.strerror or error})") from error


def read_lines(file: Path, *, mend: bool = False) -> Iterator[tuple[int, bytes]]:
    """The complete lines of a file with their numbers, from 1 on; none where there is no file.

    Args:
        file: the file.
        mend: cut off an incomplete last line.
    """
    if not file.exists():
        return
    end = 0
    with open(file, "r+b" if mend else "rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                if mend:
                    stream.truncate(end)
                return
            end += len(line)
            yield number, line
