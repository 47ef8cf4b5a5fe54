"""What identifies weights: digests of their files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from polyp_aug.errors import ConfigurationError

#: The parts of a diffusers pipeline that decide the pixels.
COMPONENTS = ("controlnet", "scheduler", "text_encoder", "tokenizer", "unet", "vae")

#: Endings of files of configurations and vocabularies.
CONFIGURATIONS = (".json", ".txt")


def revision_of(
    path: Path, *, leave_out: Sequence[str] = (), suffixes: Sequence[str] = (*CONFIGURATIONS, ".safetensors")
) -> str:
    """16 digits of a SHA-256 over names and content of the files of a diffusers pipeline, of one part, or of a file.

    Args:
        path: folder of a pipeline (with `model_index.json`), folder of one part, or a file.
        leave_out: parts of a pipeline that are not read.
        suffixes: endings of the files of a folder that are read.
    """
    if path.is_file():
        return _digest(path.parent, [path])
    parts = [name for name in COMPONENTS if name not in leave_out]
    folders = [path / name for name in parts] if (path / "model_index.json").is_file() else [path]
    files = [file for folder in folders for file in sorted(folder.glob("*")) if file.suffix in suffixes]
    return _digest(path, files)


def join_revisions(revisions: Sequence[str]) -> str:
    """One revision as it is; of several, 16 digits of a SHA-256 over all."""
    if len(revisions) == 1:
        return revisions[0]
    return hashlib.sha256("\n".join(revisions).encode()).hexdigest()[:16]


def lora_file(path: Path) -> Path:
    """The safetensors file of LoRA weights: a file, or the only one of a folder.

    Raises:
        ConfigurationError: there is none, or more than one.
    """
    if path.is_file():
        if path.suffix != ".safetensors":
            raise ConfigurationError(f"{path}: LoRA weights must be safetensors (got {path.suffix or 'no ending'})")
        return path
    found = sorted(path.glob("*.safetensors"))
    if len(found) != 1:
        raise ConfigurationError(f"{path}: expected a safetensors file, or a folder with one (found {len(found)})")
    return found[0]


def _digest(root: Path, files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        # The name of a single file says nothing.
        name = file.relative_to(root).as_posix() if len(files) > 1 else ""
        with open(file, "rb") as stream:
            digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
