"""Optional packages: the one place that says which extra brings what is missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from polyp_aug.errors import MissingDependencyError


def require(module: str, extra: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: its import name.
        extra: the extra of polyp_aug that brings it.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingDependencyError(
            f"{module} is not installed: pip install 'polyp_aug[{extra}]'", name=error.name
        ) from error
