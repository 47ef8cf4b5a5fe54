"""Configs of mmdet: reading them, changing them from the command line, and pointing them at COCO sets."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmengine.config import Config, ConfigDict, DictAction

from polyp_aug.coco import read_coco, resolve_image
from polyp_aug.coco.read import annotations_file
from polyp_aug.errors import ConfigurationError

#: Names of the transform that draws from a pool.
_SYNTHESIS = ("PolypSynthesis", "mmdet.PolypSynthesis", "polyp_aug.PolypSynthesis")

#: Samplers that can be told how long a training is, by their names in any scope.
_SAMPLERS = ("DrawnSampler", "MixingSampler")

_OPTION = re.compile(r"[A-Za-z_]\w*(\.\w+)*=.*", re.DOTALL)


def read_config(path: Path, options: Sequence[str] = ()) -> Config:
    """Read a config and what it is based on. A config is Python code, and is run: read only what you trust.

    Args:
        path: the file.
        options: changes as `key.of.a.setting=value`, in mmengine's spelling; an item of a list is named by its number.

    Raises:
        ConfigurationError: the file is missing or no config, or an option has another form.
    """
    try:
        config = Config.fromfile(path)
    except (OSError, SyntaxError, NameError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise ConfigurationError(f"{path}: can't be read as a config of mmdet ({error})") from error
    for option in options:
        if not _OPTION.fullmatch(option):
            raise ConfigurationError(f"{option!r} changes no setting, expected key=value")
    if options:
        parser = argparse.ArgumentParser()
        parser.add_argument("--options", nargs="+", action=DictAction)
        try:
            config.merge_from_dict(parser.parse_args(["--options", *options]).options)
        except (KeyError, TypeError) as error:
            raise ConfigurationError(f"{', '.join(options)}: can't be applied to {path} ({error})") from error
    return config


def use_data(config: Config, data: Sequence[Path], validation: Path, synthetic: Sequence[Path] = ()) -> None:
    """Point a config's loaders and its measurement at COCO sets.

    Args:
        config: to change; its pipelines and classes stay.
        data: sets to train on, joined; a COCO file or a folder with `annotations.json` each.
        validation: set to measure on.
        synthetic: generated sets, joined, for a config that trains on two sources.

    Raises:
        CocoError: a file breaks the format.
        ConfigurationError: no set is given, one lacks a class of the config, has no picture, or a picture is missing.
    """
    use_training_data(config, data, synthetic)
    config.val_dataloader.dataset = _with_sets(config.val_dataloader.dataset, [validation])
    config.val_evaluator.ann_file = str(annotations_file(validation))
    config.test_dataloader, config.test_evaluator = config.val_dataloader, config.val_evaluator


def use_training_data(config: Config, data: Sequence[Path], synthetic: Sequence[Path] = ()) -> None:
    """Point a config's training at COCO sets; its other loaders stay.

    Args:
        config: to change.
        data: real sets, joined.
        synthetic: generated sets, joined, for a config that joins two sets by a ratio.

    Raises:
        CocoError: a file breaks the format.
        ConfigurationError: as `use_data`, or generated sets are given to a config that takes none, or none to one that
            takes them.
    """
    if not data:
        raise ConfigurationError("no data set to train on")
    dataset = config.train_dataloader.dataset
    sources = dataset.get("datasets", [])
    if bool(synthetic) != (len(sources) == 2):
        raise ConfigurationError(
            f"{config.filename}: joins {len(sources) or 1} training sets, and {len(synthetic)} generated sets are "
            "given; those need a config that joins two, a real and a generated one"
        )
    if synthetic:
        dataset.datasets = [_with_sets(sources[0], data), _with_sets(sources[1], synthetic)]
    else:
        config.train_dataloader.dataset = _with_sets(dataset, data)


def use_pool(config: Config, pool: Path) -> None:
    """Let every `PolypSynthesis` of a config's training draw from a pool.

    Raises:
        ConfigurationError: the config has none.
    """
    found = [item for item in _transforms(config.train_dataloader.dataset) if item.type in _SYNTHESIS]
    if not found:
        raise ConfigurationError(f"{config.filename}: its training has no PolypSynthesis that could draw from {pool}")
    for transform in found:
        transform.pool = str(pool)


def use_test_data(config: Config, data: Path) -> None:
    """Point a config's test and its measurement at a COCO set; its other loaders stay.

    Raises:
        CocoError: the file breaks the format.
        ConfigurationError: the config has no test, or as `use_data`.
    """
    for name in ("test_dataloader", "test_evaluator"):
        if not isinstance(config.get(name), dict):
            raise ConfigurationError(f"{config.filename}: {name!r} is {config.get(name)!r}, expected one")
    config.test_dataloader.dataset = _with_sets(config.test_dataloader.dataset, [data])
    config.test_evaluator.ann_file = str(annotations_file(data))


def stretch_schedule(config: Config, iterations: int) -> None:
    """Give a training that counts iterations another length; warming up and falling learning rates keep their shares.

    Measured and saved is at the same shares, and at the end.

    Raises:
        ConfigurationError: `iterations` is less than 1, or the config counts epochs.
    """
    if iterations < 1:
        raise ConfigurationError(f"'iterations' must be at least 1 (got {iterations})")
    schedules = config.param_scheduler
    if "max_iters" not in config.train_cfg or any(item.get("by_epoch", True) for item in schedules):
        raise ConfigurationError(
            f"{config.filename}: counts epochs; 'iterations' needs a config that counts iterations"
        )
    share = iterations / config.train_cfg.max_iters
    for settings, names in (
        (config.train_cfg, ("max_iters", "val_interval")),
        *((item, ("begin", "end", "T_max")) for item in schedules),
        (config.default_hooks.checkpoint, ("interval",)),
    ):
        for name in names:
            if name in settings:
                settings[name] = max(round(settings[name] * share), 0 if name == "begin" else 1)


def settle_sampler(config: Config) -> None:
    """Tell a training's sampler, where it is one of ours, how large a batch is and how many there will be."""
    loader, loop = config.train_dataloader, config.train_cfg
    sampler = loader.get("sampler", ConfigDict())
    if str(sampler.get("type")).rpartition(".")[2] not in _SAMPLERS:
        return
    sampler.batch_size = loader.batch_size
    if "max_iters" in loop:
        sampler.iterations = loop.max_iters
    elif sampler.get("batches_per_epoch") is not None:
        sampler.iterations = loop.max_epochs * sampler.batches_per_epoch


def _transforms(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """The transforms of a data set, and of those that it wraps or joins."""
    yield from dataset.get("pipeline", ())
    for inner in (*dataset.get("datasets", ()), *([dataset.dataset] if "dataset" in dataset else ())):
        yield from _transforms(inner)


def _with_sets(dataset: ConfigDict, paths: Sequence[Path]) -> ConfigDict:
    """A data set's config with other sets, inside of what is wrapped around it."""
    if "dataset" in dataset:
        return ConfigDict(dataset, dataset=_with_sets(dataset.dataset, paths))
    sets = [_with_set(dataset, path) for path in paths]
    return sets[0] if len(sets) == 1 else ConfigDict(type="ConcatDataset", datasets=sets)


def _with_set(dataset: ConfigDict, path: Path) -> ConfigDict:
    coco = read_coco(path)
    known = [category.name for category in coco.categories]
    missing = [name for name in dataset.metainfo.classes if name not in known]
    if missing:
        raise ConfigurationError(f"{path}: has no category {missing[0]!r}, which the config names (it has {known})")
    if not coco.images:
        raise ConfigurationError(f"{path}: has no picture")
    for image in coco.images:
        picture = resolve_image(coco.image_root, image.file_name)
        if not picture.is_file():
            raise ConfigurationError(f"{path}: picture {picture} of image {image.id} is missing")
    return ConfigDict(
        dataset, data_root="", ann_file=str(annotations_file(path)), data_prefix={"img": str(coco.image_root)}
    )
