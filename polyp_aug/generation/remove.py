"""A run that removes polyps: the frames of a COCO set that hold any, repainted as mucosa."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from polyp_aug.errors import ConfigurationError, ImageError
from polyp_aug.generation.backgrounds import Background, Backgrounds, Sample, SampleDeck, read_backgrounds
from polyp_aug.generation.run_folder import REMOVAL
from polyp_aug.generation.run_record import category_rows, described_weights, license_rows, versions
from polyp_aug.generation.samples import Outcome, skipped, unreadable_message
from polyp_aug.generation.writing import RunLimits, RunPlan, RunProgress, write_run
from polyp_aug.geometry import enclosing_box
from polyp_aug.keys import Key
from polyp_aug.removal import Removed, Remover, RemoverSettings
from polyp_aug.scene import Scene
from polyp_aug.synthesizers.options import PaintingOptions
from polyp_aug.synthesizers.registry import POLYP_GEN, load_synthesizer, options_with_weights, parse_synthesizer


@dataclass(frozen=True)
class RemoveConfig:
    """Settings of a run that removes polyps.

    Attributes:
        data: COCO file, or folder with `annotations.json`: frames and their polyps.
        synthesizer: "polyp_gen", or weights for it: a folder, a file or `org/name@commit`.
        painting: its settings; `strength` stays 1, since below that the polyp would show through.
        margin: see `RemoverSettings`.
        feather: see `RemoverSettings`.
        categories: see `RemoverSettings`.
        seed: the only source of randomness.
        shard: (i, n): this run makes every n-th sample, from the i-th on; i counts from 1.
        batch_size: frames that are repainted together.
        data_images: folder of the pictures where it isn't beside the COCO file.
        fix: mend a COCO file that breaks the format where that is possible.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    data: Path
    synthesizer: str = POLYP_GEN
    painting: PaintingOptions | None = None
    margin: float = 15.0
    feather: float = 0.06
    categories: tuple[str, ...] = ()
    seed: int = 0
    shard: tuple[int, int] = (1, 1)
    batch_size: int = 8
    data_images: Path | None = None
    fix: bool = False

    def __post_init__(self) -> None:
        name, _ = parse_synthesizer(self.synthesizer)
        if name != POLYP_GEN:
            raise ConfigurationError(f"'synthesizer' must be {POLYP_GEN} or weights for it: {name} can't remove polyps")
        options = self.painting_options
        if options.strength < 1.0:
            raise ConfigurationError(
                f"'strength' must be 1: below, the polyp that is removed shows through (got {options.strength})"
            )
        if self.batch_size < 1:
            raise ConfigurationError(f"'batch_size' must be at least 1 (got {self.batch_size})")
        if self.seed < 0:
            raise ConfigurationError(f"'seed' must not be negative (got {self.seed})")
        index, number = self.shard
        if not 1 <= index <= number:
            raise ConfigurationError(f"'shard' must be i/n with 1 ≤ i ≤ n (got {index}/{number})")
        self.remover_settings()

    @property
    def painting_options(self) -> PaintingOptions:
        """What repaints, its weights included."""
        _, weights = parse_synthesizer(self.synthesizer)
        return options_with_weights(self.painting or PaintingOptions(), weights).removing()

    def remover_settings(self) -> RemoverSettings:
        """The part that the remover reads.

        Raises:
            ConfigurationError: a value is out of its range.
        """
        return RemoverSettings(margin=self.margin, feather=self.feather, categories=self.categories)

    def settings(self) -> dict[str, Any]:
        """What decides the result, in JSON types; paths are left to the inputs' digests."""
        return {
            "task": REMOVAL,
            "seed": self.seed,
            "synthesizer": POLYP_GEN,
            "margin": self.margin,
            "feather": self.feather,
            **({"categories": list(self.categories)} if self.categories else {}),
            "painting": self.painting_options.to_dict(),
            "batch_size": self.batch_size,
            "shard": f"{self.shard[0]}/{self.shard[1]}",
        }


def remove(
    config: RemoveConfig,
    out: Path,
    *,
    limits: RunLimits | None = None,
    observer: Callable[[RunProgress], None] | None = None,
) -> RunProgress:
    """Write the frames of a COCO set without their polyps, or go on with a run that was begun.

    Frames without an object of the wanted categories are left out; frames of which nothing could be removed are
    skipped. What could not be removed stays in the annotations. Equal settings give equal bytes as far as
    `generate` says.

    Args:
        config: the settings.
        out: the run folder; see `run_folder`.
        limits: when to stop early.
        observer: called after every batch.

    Raises:
        ConfigurationError: no frame holds an object of the wanted categories; the weights can't be loaded; and see
            `RunFolder`.
        CocoError: the COCO file breaks the format.
        MissingDependencyError: a package that the synthesizer needs is not installed.
        RunFolderBusyError: another process writes to the folder.
        StorageError: the disk is full or can't be written; what is there can be resumed.
        TooManyFailuresError: more samples failed than `limits` allow; what is there can be resumed.
    """
    return write_run(prepare_removal(config), config.data, out, limits=limits, observer=observer)


def prepare_removal(config: RemoveConfig) -> RunPlan:
    """Read the inputs and load what is needed.

    Raises:
        ConfigurationError: see `remove`.
        CocoError: the COCO file breaks the format.
        MissingDependencyError: a package that the synthesizer needs is not installed.
    """
    config = replace(config, synthesizer=POLYP_GEN, painting=config.painting_options.resolved())
    data = read_backgrounds(config.data, config.data_images, config.fix)
    settings = config.remover_settings()
    frames = tuple(
        frame for frame in data.frames if any(settings.takes(str(item["category"])) for item in frame.objects)
    )
    if not frames:
        wanted = ", ".join(config.categories) or "any category"
        raise ConfigurationError(f"{config.data}: none of {len(data.frames)} frames holds an object of {wanted}")
    synthesizer = load_synthesizer(config.synthesizer, options=config.painting)
    run = {
        "config": config.settings(),
        "inputs": _described(data, frames) | described_weights(config.painting, synthesizer.revision),
        "versions": versions(diffusion=True),
        "categories": category_rows(data.categories),
        "licenses": license_rows(data.licenses),
    }
    deck = SampleDeck(len(frames), len(frames), seed=config.seed, shard=config.shard, per_image=1)
    maker = RemovalMaker(Remover(synthesizer, settings), frames, config.seed)
    return RunPlan(deck, maker, config.batch_size, run)


class RemovalMaker:
    """Makes samples of a run that removes; a pure function of its arguments.

    Args:
        remover: removes.
        frames: the frames.
        seed: of the run.
    """

    def __init__(self, remover: Remover, frames: Sequence[Background], seed: int) -> None:
        self._remover = remover
        self._frames = frames
        self._seed = seed

    def make(self, samples: Sequence[Sample]) -> list[Outcome]:
        """As `Maker.make`."""
        outcomes: dict[int, Outcome] = {}
        ready: list[tuple[Sample, Background, Scene, Key]] = []
        for sample in samples:
            frame = self._frames[sample.choices[0]]
            try:
                scene = frame.read()
            except ImageError as error:
                outcomes[sample.number] = skipped(sample, [], [unreadable_message(frame, error)])
                continue
            ready.append((sample, frame, scene, Key(self._seed, scene.id, draw=sample.number)))
        results = self._remover.remove([row[2] for row in ready], [row[3] for row in ready])
        for (sample, frame, scene, key), result in zip(ready, results, strict=True):
            if result.places:
                outcomes[sample.number] = _made(sample, frame, scene, key, result)
            else:
                reasons = [f"{scene.id}: {rejection.reason}" for rejection in result.rejections]
                outcomes[sample.number] = skipped(sample, reasons, [])
        return [outcomes[sample.number] for sample in samples]


def _made(sample: Sample, frame: Background, scene: Scene, key: Key, result: Removed) -> Outcome:
    name = f"{sample.number:06d}.png"
    x, y, w, h = (int(value) for value in enclosing_box(place.changed for place in result.places))
    gone = [
        {"origin": "removed", **frame.objects[index], "provenance": dict(place.provenance)}
        for place in result.places
        for index in place.objects
    ]
    record: dict[str, Any] = {
        "sample": sample.number,
        "status": "made",
        "file_name": name,
        "width": scene.width,
        "height": scene.height,
        "background": frame.source.to_dict(),
        "key": key.to_dict(),
        "before": {"file_name": name, "box": [x, y, w, h]},
        "objects": [{"origin": "source", **frame.objects[index]} for index in result.kept] + gone,
        "rejections": [rejection.reason for rejection in result.rejections],
        "problems": [],
        "unreadable": [],
    }
    before = np.ascontiguousarray(scene.image[y : y + h, x : x + w])
    return Outcome(record, {"images": result.image, "before": before})


def _described(data: Backgrounds, frames: Sequence[Background]) -> dict[str, Any]:
    """The frames, for `run.json`."""
    described = replace(data, frames=tuple(frames)).described()
    left = len(data.frames) - len(frames)
    return described | ({"frames_without_such_objects": left} if left else {})
