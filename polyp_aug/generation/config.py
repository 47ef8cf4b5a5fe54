"""What a run is asked to do. Two runs with equal settings, inputs and versions give equal bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polyp_aug.augmenter import AugmenterSettings
from polyp_aug.errors import ConfigurationError
from polyp_aug.proposers.random import RandomProposer, check_size_range
from polyp_aug.proposers.registry import proposer_names
from polyp_aug.synthesizers.registry import synthesizer_names


@dataclass(frozen=True)
class GenerateConfig:
    """Settings of a run.

    Attributes:
        backgrounds: folder of pictures, COCO file, or folder with `annotations.json`.
        references: COCO file, or folder with `annotations.json`: the polyps to learn from.
        count: number of samples in all shards; exclusive with `per_image`.
        per_image: number of samples from each background.
        polyps_per_image: smallest and largest number of new polyps in a sample.
        synthesizer: name of the synthesizer.
        proposer: name of the proposer.
        seed: the only source of randomness.
        shard: (i, n): this run makes every n-th sample, from the i-th on; i counts from 1.
        size_range: smallest and largest equivalent diameter of a polyp, as a share of the frame's shorter side, for the
            proposer `random`; None takes its default.
        feather: width of the soft edge as a share of the polyp's equivalent diameter.
        batch_size: samples that are rendered together.
        attempts: backgrounds that are tried for one sample of `count` before it is skipped.
        backgrounds_images: folder of the backgrounds' pictures where it isn't beside their COCO file.
        references_images: the same for the references.
        fix: mend COCO files that break the format where that is possible.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    backgrounds: Path
    references: Path
    count: int | None = None
    per_image: int | None = None
    polyps_per_image: tuple[int, int] = (1, 1)
    synthesizer: str = "transplant"
    proposer: str = "random"
    seed: int = 0
    shard: tuple[int, int] = (1, 1)
    size_range: tuple[float, float] | None = None
    feather: float = 0.06
    batch_size: int = 8
    attempts: int = 6
    backgrounds_images: Path | None = None
    references_images: Path | None = None
    fix: bool = False

    def __post_init__(self) -> None:
        if (self.count is None) == (self.per_image is None):
            raise ConfigurationError(f"give either 'count' or 'per_image' (got {self.count} and {self.per_image})")
        for name in ("count", "per_image", "batch_size", "attempts"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name!r} must be at least 1 (got {value})")
        if self.seed < 0:
            raise ConfigurationError(f"'seed' must not be negative (got {self.seed})")
        index, number = self.shard
        if not 1 <= index <= number:
            raise ConfigurationError(f"'shard' must be i/n with 1 ≤ i ≤ n (got {index}/{number})")
        if self.synthesizer not in synthesizer_names():
            known = ", ".join(synthesizer_names())
            raise ConfigurationError(f"'synthesizer' must be one of {known} (got {self.synthesizer!r})")
        if self.proposer not in proposer_names():
            known = ", ".join(proposer_names())
            raise ConfigurationError(f"'proposer' must be one of {known} (got {self.proposer!r})")
        if self.size_range is not None:
            if self.proposer != RandomProposer.name:
                raise ConfigurationError(f"'size_range' is for the proposer random (got {self.proposer!r} with it)")
            check_size_range(self.size_range)
        self.augmenter_settings()

    def augmenter_settings(self) -> AugmenterSettings:
        """The part that the augmenter reads.

        Raises:
            ConfigurationError: a value is out of its range.
        """
        return AugmenterSettings(polyps_per_image=self.polyps_per_image, feather=self.feather)

    def whole(self) -> GenerateConfig:
        """The same run without shards."""
        return replace(self, shard=(1, 1))

    def settings(self) -> dict[str, Any]:
        """What decides the result, in JSON types; paths are left to the inputs' digests."""
        amount: dict[str, Any] = {"count": self.count} if self.count is not None else {"per_image": self.per_image}
        return {
            "seed": self.seed,
            **amount,
            "polyps_per_image": f"{self.polyps_per_image[0]}-{self.polyps_per_image[1]}",
            "synthesizer": self.synthesizer,
            "proposer": self.proposer,
            **({"size_range": list(self.size_range)} if self.size_range else {}),
            "feather": self.feather,
            "attempts": self.attempts,
            "shard": f"{self.shard[0]}/{self.shard[1]}",
        }
