"""What a comparison of synthesizers holds, read from YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.extractors.names import EFFICIENTNET_LITE0
from polyp_aug.evaluation.polyp_tables import REAL, TRAIN

_NAME = re.compile(r"[A-Za-z0-9][\w. -]*")


@dataclass(frozen=True)
class RealData:
    """A data set's real frames.

    Attributes:
        real: held-out frames, which no method has seen.
        train: frames that the methods have seen, for the floor and the check for copies; None without.
    """

    real: Path
    train: Path | None = None


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        data: name of a data set → its real frames.
        methods: name of a method → data set → what it made there: a run, a COCO set or a folder of pictures.
        extractors: as `load_extractor` takes them.
        crops: compare squares around polyps in place of whole frames.
        with_polyps: leave out frames without a polyp.
        every_object: methods whose sets are taken whole, since polyp-aug did not make them.
        count: at most so many pictures of each set.
        seed: the only source of randomness.

    Raises:
        ConfigurationError: a value is of another kind, a name is unknown or can't be a file's name, or a path doesn't
            exist.
    """

    data: Mapping[str, RealData]
    methods: Mapping[str, Mapping[str, Path]]
    extractors: tuple[str, ...] = (EFFICIENTNET_LITE0,)
    crops: bool = False
    with_polyps: bool = False
    every_object: tuple[str, ...] = ()
    count: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("data", "methods", "extractors"):
            if not getattr(self, name):
                raise ConfigurationError(f"{name!r} is empty")
        for name in (*self.data, *self.methods):
            if not _NAME.fullmatch(name) or name in (REAL, TRAIN):
                raise ConfigurationError(
                    f"{name!r} is no name of a data set or method, expected letters, digits, '.', '_', '-' and spaces, "
                    f"and neither {REAL!r} nor {TRAIN!r}"
                )
        for name in ("crops", "with_polyps"):
            if type(getattr(self, name)) is not bool:
                raise ConfigurationError(f"{name!r} must be true or false (got {getattr(self, name)!r})")
        if type(self.seed) is not int or (self.count is not None and (type(self.count) is not int or self.count < 1)):
            raise ConfigurationError(
                f"'seed' and 'count' must be whole numbers, 'count' of at least 1 (got {self.seed!r}, {self.count!r})"
            )
        unknown = sorted(set(self.every_object) - set(self.methods))
        if unknown:
            raise ConfigurationError(f"'every_object' names {unknown[0]!r}, which is no method")
        for method, made in self.methods.items():
            if not made:
                raise ConfigurationError(f"method {method!r} has no data set")
            for name, path in made.items():
                if name not in self.data:
                    raise ConfigurationError(f"method {method!r} names the data set {name!r}, which 'data' lacks")
                _check_path(path, f"methods.{method}.{name}")
        for name, item in self.data.items():
            _check_path(item.real, f"data.{name}.real")
            if item.train is not None:
                _check_path(item.train, f"data.{name}.train")

    def methods_of(self, data: str) -> list[str]:
        """The methods that made something of a data set, in the order of the file."""
        return [name for name, made in self.methods.items() if data in made]


def read_comparison(path: Path) -> Comparison:
    """Read a comparison; relative paths in it are relative to the current folder, as those of a command line.

    Raises:
        ConfigurationError: the file can't be read, a setting is missing, unknown or wrong, or a path doesn't exist.
    """
    try:
        document = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: can't be read as YAML ({error})") from error
    try:
        settings = _known(document, "the file", [entry.name for entry in fields(Comparison)], ("data", "methods"))
        data: dict[str, RealData] = {}
        for name, value in _mapping(settings["data"], "data").items():
            paths = _known(value, f"data.{name}", ["real", "train"], ("real",))
            train = paths.get("train")
            data[name] = RealData(
                _path(paths["real"], f"data.{name}.real"), train and _path(train, f"data.{name}.train")
            )
        methods = {
            name: {key: _path(item, f"methods.{name}.{key}") for key, item in _mapping(made, f"methods.{name}").items()}
            for name, made in _mapping(settings["methods"], "methods").items()
        }
        lists: dict[str, Any] = {
            key: _texts(settings[key], key) for key in ("extractors", "every_object") if key in settings
        }
        settings |= {"data": data, "methods": methods, **lists}
        return Comparison(**settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigurationError(f"{name} is {value!r}, expected settings by name")
    return dict(value)


def _known(value: Any, name: str, known: list[str], needed: tuple[str, ...]) -> dict[str, Any]:
    settings = _mapping(value, name)
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigurationError(f"{name}: unknown setting {unknown[0]!r}, expected {', '.join(known)}")
    missing = [key for key in needed if key not in settings]
    if missing:
        raise ConfigurationError(f"{name}: no setting {missing[0]!r}")
    return settings


def _path(value: Any, name: str) -> Path:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{name} is {value!r}, expected a path")
    return Path(value)


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigurationError(f"{name!r} is {value!r}, expected a list of names")
    return tuple(value)


def _check_path(path: Path, name: str) -> None:
    if not path.exists():
        raise ConfigurationError(f"{name}: {path} doesn't exist")
