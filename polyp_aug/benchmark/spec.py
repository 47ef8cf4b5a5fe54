"""What a benchmark compares, read from YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from polyp_aug.benchmark.arms import Arm, Mode, frozen
from polyp_aug.errors import ConfigurationError
from polyp_aug.integrations.yolo.options import read_options

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_Part = TypeVar("_Part")


@dataclass(frozen=True)
class DetectorEntry:
    """A detector: of MMDetection, by its `configs`, or of ultralytics, by the model that `yolo` names.

    Attributes:
        iterations: length of every training of it; the same for all arms, up to whole epochs of ultralytics.
        configs: path of its configs up to `_real.py`, `_offline.py` and `_online.py`.
        yolo: a model's configuration or weights, such as `yolov8n.yaml`.
        command: ultralytics' program; its path, or its name in a folder of PATH.
        options: changes of its configs, or settings of ultralytics, as `key=value`.
    """

    iterations: int
    configs: str | None = None
    yolo: str | None = None
    command: str = "yolo"
    options: tuple[str, ...] = ()

    def config(self, mode: Mode) -> Path:
        """The config for an arm's mode."""
        return Path(f"{self.configs}_{mode}.py")

    def takes(self, arm: Arm) -> bool:
        """Whether it is trained with an arm: ultralytics reads folders, in which nothing is drawn while it trains."""
        return self.yolo is None or arm.mode != "online"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types: what is compared, wherever the program is."""
        kind = {"configs": self.configs} if self.yolo is None else {"yolo": self.yolo}
        return kind | {"iterations": self.iterations, "options": list(self.options)}


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        detector: name.
        arm: name.
        size: number of real frames with polyps.
        seed: of the frames that are drawn, the synthetic polyps and the training.
    """

    detector: str
    arm: str
    size: int
    seed: int

    @property
    def name(self) -> str:
        """The run's name, which is its folder's, too."""
        return f"{self.detector}-{self.arm}-{self.size}-seed{self.seed}"


@dataclass(frozen=True)
class BenchmarkSpec:
    """A benchmark.

    Attributes:
        real: COCO sets of frames with polyps; `sizes` of them are drawn, whole groups, in an order that a seed decides.
        negatives: COCO sets of polyp-free frames; as many as of the others are drawn, for every arm.
        validation: COCO set on which thresholds are chosen.
        test: name → COCO set to measure on.
        sizes: numbers of real frames.
        seeds: of the runs.
        detectors: name → detector.
        arms: name → arm; the first of mode "real" is what others are compared with.
        options: changes of every config of MMDetection, as `key=value`.
        amp: mixed precision.

    Raises:
        ConfigurationError: a value is out of its range, or there is nothing to compare with.
    """

    real: tuple[str, ...]
    validation: str
    test: Mapping[str, str]
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    detectors: Mapping[str, DetectorEntry]
    arms: Mapping[str, Arm]
    negatives: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    amp: bool = False

    def __post_init__(self) -> None:
        for name in ("real", "test", "sizes", "seeds", "detectors", "arms"):
            if not getattr(self, name):
                raise ConfigurationError(f"{name!r} is empty")
        for name in (*self.detectors, *self.arms):
            if not _NAME.fullmatch(name):
                raise ConfigurationError(f"{name!r} is no name of a detector or arm, expected letters, digits, . _ -")
        for name in ("sizes", "seeds"):
            values = getattr(self, name)
            if any(type(value) is not int or value < (name == "sizes") for value in values):
                raise ConfigurationError(f"{name!r} must be whole numbers (got {list(values)})")
            if len(set(values)) != len(values):
                raise ConfigurationError(f"{name!r} holds a number twice (got {list(values)})")
        for name, entry in self.detectors.items():
            self._check_detector(name, entry)
        if self.baseline is None:
            raise ConfigurationError("no arm has the mode 'real', with which the others are compared")
        for name, arm in self.arms.items():
            try:
                arm.check()
            except ConfigurationError as error:
                raise ConfigurationError(f"arm {name!r}: {error}") from error

    @property
    def baseline(self) -> str | None:
        """The first arm that adds nothing."""
        return next((name for name, arm in self.arms.items() if arm.mode == "real"), None)

    def runs(self) -> Iterator[Run]:
        """Every training; those of a detector and size follow one another, seed by seed.

        A detector of ultralytics has none with online arms.
        """
        for size in self.sizes:
            for detector, entry in self.detectors.items():
                for seed in self.seeds:
                    for name, arm in self.arms.items():
                        if entry.takes(arm):
                            yield Run(detector, name, size, seed)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"detectors": {name: entry.to_dict() for name, entry in self.detectors.items()}}

    def _check_detector(self, name: str, entry: DetectorEntry) -> None:
        if type(entry.iterations) is not int or entry.iterations < 1:
            raise ConfigurationError(f"'iterations' of {name!r} must be at least 1 (got {entry.iterations!r})")
        if (entry.configs is None) == (entry.yolo is None):
            raise ConfigurationError(
                f"detector {name!r} must have either 'configs' or 'yolo' (got {entry.configs!r} and {entry.yolo!r})"
            )
        if entry.yolo is None:
            return
        try:
            read_options(entry.options)
        except ConfigurationError as error:
            raise ConfigurationError(f"detector {name!r}: {error}") from error
        if not any(entry.takes(arm) for key, arm in self.arms.items() if key != self.baseline):
            raise ConfigurationError(
                f"detector {name!r} is of ultralytics, which can't be trained with online arms, and there is no arm of "
                "mode 'offline' to compare with real frames"
            )


def read_spec(path: Path) -> BenchmarkSpec:
    """Read a benchmark; relative paths in it are relative to the current folder, as those of a command line.

    Raises:
        ConfigurationError: the file can't be read, a setting is missing, unknown or out of its range.
    """
    try:
        document = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: can't be read as YAML ({error})") from error
    try:
        settings = _mapping(document, "the file")
        for name, kind in (("detectors", DetectorEntry), ("arms", Arm)):
            settings[name] = {
                str(key): _part(kind, value, f"{name}.{key}")
                for key, value in _mapping(settings.get(name), name).items()
            }
        settings["test"] = _mapping(settings.get("test"), "test")
        return _part(BenchmarkSpec, settings, "the file")
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{name} is {value!r}, expected settings by name")
    return dict(value)


def _part(kind: type[_Part], value: Any, name: str) -> _Part:
    settings = _mapping({} if value is None else value, name)
    known = [entry.name for entry in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigurationError(f"{name}: unknown setting {unknown[0]!r}, expected {', '.join(known)}")
    try:
        return kind(**{key: frozen(item) for key, item in settings.items()})
    except TypeError as error:
        raise ConfigurationError(f"{name}: {error}") from error
