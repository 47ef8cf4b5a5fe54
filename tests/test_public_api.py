"""The package's surface: names, lightness, errors, doors."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import polyp_aug
from polyp_aug import errors

ROOT = Path(__file__).resolve().parents[1]


def test_public_names_are_sorted_and_can_be_loaded() -> None:
    assert polyp_aug.__all__ == sorted(polyp_aug.__all__)
    for name in polyp_aug.__all__:
        assert getattr(polyp_aug, name) is not None
    assert dir(polyp_aug) == polyp_aug.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        polyp_aug.nothing  # noqa: B018


def test_every_public_object_is_described() -> None:
    for name in set(polyp_aug.__all__) - {"__version__"}:
        assert inspect.getdoc(getattr(polyp_aug, name)), name


def test_importing_the_package_brings_no_heavy_module() -> None:
    heavy = ("torch", "mmdet", "mmengine", "diffusers", "transformers", "albumentations", "cv2", "numpy", "sklearn")
    code = f"import sys, polyp_aug; print([name for name in {heavy!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "error",
    [cls for cls in vars(errors).values() if inspect.isclass(cls) and cls is not errors.PolypAugError],
    ids=lambda cls: cls.__name__,
)
def test_every_error_has_one_base_a_builtin_and_a_use(error: type[Exception]) -> None:
    assert issubclass(error, errors.PolypAugError)
    builtins = (ValueError, RuntimeError, ImportError, OSError)
    assert issubclass(error, builtins)
    users = [
        path
        for path in (ROOT / "polyp_aug").rglob("*.py")
        if path.name != "errors.py" and error.__name__ in path.read_text("utf-8")
    ]
    assert users, f"{error.__name__} is never raised"
    assert error.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("tool", sorted((ROOT / "tools").glob("*.py")), ids=lambda path: path.name)
def test_a_tool_only_calls_the_command_line(tool: Path) -> None:
    body = ast.parse(tool.read_text("utf-8")).body
    assert all(isinstance(node, ast.Expr | ast.Import | ast.ImportFrom | ast.If) for node in body)
    assert len(ast.unparse(body).splitlines()) <= 10


def test_modules_stay_small() -> None:
    for path in (*(ROOT / "polyp_aug").rglob("*.py"), *(ROOT / "tools").glob("*.py")):
        assert len(path.read_text("utf-8").splitlines()) <= 600, path
