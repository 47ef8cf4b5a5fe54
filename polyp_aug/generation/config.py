"""What a run is asked to do. Two runs with equal settings, inputs and versions give equal bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polyp_aug.augmenter import AugmenterSettings
from polyp_aug.errors import ConfigurationError
from polyp_aug.proposers.random import RandomProposer, check_size_range
from polyp_aug.proposers.reference import ReferenceProposer
from polyp_aug.proposers.registry import RETRIEVAL, proposer_names
from polyp_aug.synthesizers.options import PaintingOptions
from polyp_aug.synthesizers.registry import POLYP_GEN, options_with_weights, parse_synthesizer


@dataclass(frozen=True)
class GenerateConfig:
    """Settings of a run.

    Attributes:
        backgrounds: folder of pictures, COCO file, or folder with `annotations.json`.
        references: COCO file, or folder with `annotations.json`: the polyps to learn from; None where neither proposer
            nor synthesizer takes any.
        count: number of samples in all shards; exclusive with `per_image`.
        per_image: number of samples from each background.
        polyps_per_image: smallest and largest number of new polyps in a sample.
        synthesizer: name of the synthesizer, or weights for `polyp_gen`: a folder, a file or `org/name@commit`.
        proposer: name of the proposer.
        seed: the only source of randomness.
        shard: (i, n): this run makes every n-th sample, from the i-th on; i counts from 1.
        size_range: smallest and largest equivalent diameter of a polyp, as a share of the frame's shorter side, for the
            proposer `random`; None takes its default.
        database: folder of a reference database, for the proposer `retrieval`.
        encoder: the database's encoder, see `load_encoder`; "" for the one that it names.
        feather: width of the soft edge as a share of the polyp's equivalent diameter.
        painting: settings of the synthesizer `polyp_gen`; None takes its defaults.
        batch_size: samples that are rendered together.
        attempts: backgrounds that are tried for one sample of `count` before it is skipped.
        backgrounds_images: folder of the backgrounds' pictures where it isn't beside their COCO file.
        references_images: the same for the references.
        fix: mend COCO files that break the format where that is possible.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    backgrounds: Path
    references: Path | None = None
    count: int | None = None
    per_image: int | None = None
    polyps_per_image: tuple[int, int] = (1, 1)
    synthesizer: str = "transplant"
    proposer: str = "random"
    seed: int = 0
    shard: tuple[int, int] = (1, 1)
    size_range: tuple[float, float] | None = None
    database: Path | None = None
    encoder: str = ""
    feather: float = 0.06
    painting: PaintingOptions | None = None
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
        name, weights = parse_synthesizer(self.synthesizer)
        if name == POLYP_GEN:
            options_with_weights(self.painting or PaintingOptions(), weights)
        elif self.painting is not None:
            given = ", ".join(self.painting.given) or "all defaults"
            raise ConfigurationError(f"'painting' ({given}) is for the synthesizer {POLYP_GEN} (got {name!r} with it)")
        if self.proposer not in proposer_names():
            known = ", ".join(proposer_names())
            raise ConfigurationError(f"'proposer' must be one of {known} (got {self.proposer!r})")
        if self.size_range is not None:
            if self.proposer != RandomProposer.name:
                raise ConfigurationError(f"'size_range' is for the proposer random (got {self.proposer!r} with it)")
            check_size_range(self.size_range)
        if (self.database is None) == (self.proposer == RETRIEVAL):
            raise ConfigurationError(
                f"'database' is for the proposer {RETRIEVAL}, and must be given with it (got {self.proposer!r} and "
                f"{self.database})"
            )
        if self.encoder and self.database is None:
            raise ConfigurationError(f"'encoder' is for 'database' (got {self.encoder!r} alone)")
        self.augmenter_settings()
        self._check_references()

    def _check_references(self) -> None:
        users = [f"the synthesizer {self.synthesizer_name}"] if self.painting_options is None else []
        if self.painting_options is not None and self.painting_options.strength < 1.0:
            users.append("painting with 'strength' below 1")
        if self.proposer == ReferenceProposer.name:
            users.append(f"the proposer {self.proposer}")
        if self.references is None and users:
            raise ConfigurationError(f"'references' must be given, for {' and '.join(users)}")
        if self.references is not None and not users:
            raise ConfigurationError(
                f"'references' must be left out: neither the synthesizer {self.synthesizer_name} nor the proposer "
                f"{self.proposer} reads it (got {self.references})"
            )
        if self.references is None and self.references_images is not None:
            raise ConfigurationError(f"'references_images' is for 'references' (got {self.references_images} alone)")

    @property
    def synthesizer_name(self) -> str:
        """The synthesizer's name, also where its weights were given in the place of it."""
        return parse_synthesizer(self.synthesizer)[0]

    @property
    def painting_options(self) -> PaintingOptions | None:
        """What `polyp_gen` paints with, its weights included; None with another synthesizer."""
        name, weights = parse_synthesizer(self.synthesizer)
        if name != POLYP_GEN:
            return None
        return options_with_weights(self.painting or PaintingOptions(), weights)

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
        painting = self.painting_options
        amount: dict[str, Any] = {"count": self.count} if self.count is not None else {"per_image": self.per_image}
        return {
            "seed": self.seed,
            **amount,
            "polyps_per_image": f"{self.polyps_per_image[0]}-{self.polyps_per_image[1]}",
            "synthesizer": self.synthesizer_name,
            "proposer": self.proposer,
            **({"size_range": list(self.size_range)} if self.size_range else {}),
            "feather": self.feather,
            # A model's pictures differ by rounding with what else is in the batch.
            **({"painting": painting.to_dict(), "batch_size": self.batch_size} if painting else {}),
            "attempts": self.attempts,
            "shard": f"{self.shard[0]}/{self.shard[1]}",
        }
