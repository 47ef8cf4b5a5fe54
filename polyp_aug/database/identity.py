"""What identifies the content of a reference database."""

from __future__ import annotations

import hashlib
from pathlib import Path

from polyp_aug.jsonl import read_lines

INFO_NAME = "database.json"
REFERENCES_NAME = "references.jsonl"


def digest_database(path: Path) -> str:
    """SHA-256 over what all entries have in common and over the entries, which hold digests of features and pictures.

    Raises:
        OSError: a file can't be read.
    """
    digest = hashlib.sha256(hashlib.sha256((path / INFO_NAME).read_bytes()).digest())
    # An incomplete last line is no entry.
    for _, line in read_lines(path / REFERENCES_NAME):
        digest.update(line)
    return digest.hexdigest()
