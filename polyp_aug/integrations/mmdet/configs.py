"""Configs of mmdet: reading them, changing them from the command line, and pointing them at COCO sets."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, ConfigDict, DictAction

from polyp_aug.coco import read_coco, resolve_image
from polyp_aug.coco.read import annotations_file
from polyp_aug.errors import ConfigurationError

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


def use_data(config: Config, data: Sequence[Path], validation: Path) -> None:
    """Point a config's loaders and its measurement at COCO sets.

    Args:
        config: to change; its pipelines and classes stay.
        data: sets to train on, joined; a COCO file or a folder with `annotations.json` each.
        validation: set to measure on.

    Raises:
        CocoError: a file breaks the format.
        ConfigurationError: no set is given, one lacks a class of the config, has no picture, or a picture is missing.
    """
    if not data:
        raise ConfigurationError("no data set to train on")
    config.train_dataloader.dataset = _with_sets(config.train_dataloader.dataset, data)
    config.val_dataloader.dataset = _with_sets(config.val_dataloader.dataset, [validation])
    config.val_evaluator.ann_file = str(annotations_file(validation))
    config.test_dataloader, config.test_evaluator = config.val_dataloader, config.val_evaluator


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
