"""Models of transformers from a folder or the hub, whole and from safetensors, or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel
from transformers.utils import logging

from polyp_aug.errors import ConfigurationError

_HUB_ID = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")


def hub_source(name: str) -> tuple[str, str | None]:
    """What `from_pretrained` takes: a folder and None, or the hub's name and a commit.

    Raises:
        ConfigurationError: it is no folder, and no hub id with a commit.
    """
    if Path(name).is_dir():
        return name, None
    found = _HUB_ID.fullmatch(name)
    if found is None:
        raise ConfigurationError(f"{name}: no folder, and no hub id with a commit of 40 digits (org/name@commit)")
    return found["name"], found["revision"]


def load_pretrained(name: str, kinds: Sequence[str], *, unused: frozenset[str] = frozenset()) -> Any:
    """A model in float32, in evaluation mode and frozen.

    Args:
        name: a transformers folder, or a hub id as `org/name@commit`.
        kinds: transformers' names of what it may be (`model_type`).
        unused: tensors that may be missing.

    Raises:
        ConfigurationError: it can't be loaded, is of another kind, or lacks a tensor.
    """
    source, revision = hub_source(name)
    try:
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
        if config.model_type not in kinds:
            raise ConfigurationError(f"{name}: expected one of {', '.join(kinds)} (got {config.model_type})")
        with quiet():
            model, report = AutoModel.from_pretrained(
                source,
                revision=revision,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{name}: can't be loaded ({error})") from error
    # transformers gives random values to what the file lacks, and only warns.
    missing = sorted(set(report["missing_keys"]) - unused)
    if missing:
        raise ConfigurationError(f"{name}: the weights lack {len(missing)} tensors, the first of them {missing[0]}")
    return model.eval().requires_grad_(False)


@contextmanager
def quiet() -> Iterator[None]:
    """transformers without progress bars and notices: what matters in them is an error here."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
