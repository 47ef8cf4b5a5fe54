"""An arm of a benchmark: what a detector is trained on besides real frames, and how that is generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from polyp_aug.curation.runs.policy import CONFIDENCE, DEFAULT_POLICY, HARDNESS, OVERLAP, Policy, read_policy
from polyp_aug.errors import ConfigurationError
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.generation.frames import FramesConfig
from polyp_aug.synthesizers.frame_options import FrameOptions
from polyp_aug.synthesizers.options import PaintingOptions
from polyp_aug.synthesizers.registry import CCIS_DIFF

Mode = Literal["real", "offline", "online"]

#: Settings of `GenerateConfig` that an arm may give; the others follow from the benchmark.
GENERATED = ("synthesizer", "proposer", "per_image", "polyps_per_image", "size_range", "feather", "database", "encoder")

#: The same for whole frames; `per_image` is how many are made for each real frame with polyps.
WHOLE = ("synthesizer", "per_image", "polyps_per_image", "check")

#: What `curate` is for the policy that comes with the package.
DEFAULT = "default"


@dataclass(frozen=True)
class Arm:
    """What a detector is trained on besides real frames.

    Attributes:
        mode: "real" adds nothing; "offline" joins a generated set, "online" draws from a pool in a transform.
        generate: settings of the generated set, by their names in `GenerateConfig`.
        painting: settings of a diffusion model, by their names in `PaintingOptions`, or in `FrameOptions` for whole
            frames.
        curate: file of a policy that the generated set goes through, "default" for the package's own, "" for none.
        options: changes of MMDetection's configs, as `key=value`.
    """

    mode: Mode = "online"
    generate: Mapping[str, Any] = field(default_factory=dict)
    painting: Mapping[str, Any] = field(default_factory=dict)
    curate: str = ""
    options: tuple[str, ...] = ()

    @property
    def makes_frames(self) -> bool:
        """Whether its set is of whole frames, made from masks and captions."""
        return bool(self.generate.get("synthesizer") == CCIS_DIFF)

    @property
    def policy(self) -> Policy | None:
        """The rules of `curate`.

        Raises:
            ConfigurationError: the file can't be read, or breaks the format.
        """
        if not self.curate:
            return None
        return read_policy(DEFAULT_POLICY if self.curate == DEFAULT else Path(self.curate))

    def check(self) -> None:
        """Check what doesn't need the benchmark's data.

        Raises:
            ConfigurationError: a setting is unknown or out of its range.
        """
        if self.mode not in get_args(Mode):
            raise ConfigurationError(f"'mode' must be one of {get_args(Mode)} (got {self.mode!r})")
        if self.mode == "real":
            if self.generate or self.painting or self.curate:
                raise ConfigurationError("the mode is 'real', and there are settings of synthetic polyps")
            return
        if self.makes_frames and self.mode == "online":
            raise ConfigurationError(f"{CCIS_DIFF} makes frames of its own: its mode must be 'offline' (got 'online')")
        known = WHOLE if self.makes_frames else GENERATED
        unknown = sorted(set(self.generate) - set(known))
        if unknown:
            raise ConfigurationError(f"unknown setting {unknown[0]!r}, expected {', '.join(known)}")
        try:
            if self.makes_frames:
                whole_config(self, Path("frames"), 1, 0)
            else:
                painted_config(self, Path("backgrounds"), 0)
        except TypeError as error:
            raise ConfigurationError(str(error)) from error
        policy = self.policy
        if policy is not None and (policy.scores & {CONFIDENCE, OVERLAP, HARDNESS} or policy.refiner == "sam"):
            raise ConfigurationError(
                f"the policy {self.curate!r} needs a detector or SAM, which a benchmark doesn't give it"
            )


def painted_config(arm: Arm, frames: Path, seed: int) -> GenerateConfig:
    """The settings of an arm's generated set: polyps painted into the run's own training frames.

    Args:
        arm: with a mode other than "real".
        frames: COCO set of the run's training frames; its polyps are the only references.
        seed: of the run.

    Raises:
        ConfigurationError: a setting is out of its range.
        TypeError: a setting has another type, or a painting option is unknown.
    """
    settings: dict[str, Any] = {name: frozen(value) for name, value in arm.generate.items()}
    settings.setdefault("per_image", 1)
    if settings.get("database") is not None:
        settings["database"] = Path(settings["database"])
    painting = PaintingOptions(**arm.painting) if arm.painting else None
    try:
        return GenerateConfig(backgrounds=frames, references=frames, seed=seed, painting=painting, **settings)
    except ConfigurationError as error:
        if "'references' must be left out" not in str(error):
            raise
    return GenerateConfig(backgrounds=frames, seed=seed, painting=painting, **settings)


def whole_config(arm: Arm, frames: Path, number: int, seed: int) -> FramesConfig:
    """The settings of an arm's whole frames, from masks of the run's own training frames.

    Args:
        arm: that makes frames.
        frames: COCO set of the run's training frames.
        number: how many of them show polyps.
        seed: of the run.

    Raises:
        ConfigurationError: a setting is out of its range.
        TypeError: a setting has another type, or an option is unknown.
    """
    settings = {name: frozen(value) for name, value in arm.generate.items() if name != "synthesizer"}
    count = number * int(settings.pop("per_image", 1))
    return FramesConfig(references=frames, count=count, making=FrameOptions(**arm.painting), seed=seed, **settings)


def frozen(value: Any) -> Any:
    """A value of YAML with tuples for lists."""
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
