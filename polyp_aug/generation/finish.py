"""From the manifest to what people and trainers read: COCO file, gallery, card. Streams; memory does not grow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from polyp_aug.coco import CocoAnnotation, CocoCategory, CocoImage, CocoLicense, CocoWriter
from polyp_aug.errors import RunFolderDamagedError
from polyp_aug.generation.card import write_card
from polyp_aug.generation.gallery import write_gallery
from polyp_aug.generation.run_folder import FRAMES, REMOVAL, read_records, read_run, task_of
from polyp_aug.generation.tally import Tally

ANNOTATIONS_NAME = "annotations.json"


def finish_run(folder: Path) -> None:
    """Write `annotations.json`, `index.html` and `README.md` from the manifest and `run.json`.

    Raises:
        RunFolderDamagedError: a record can't be trusted.
        StorageError: a file can't be written.
    """
    run = read_run(folder)
    write_annotations(folder, run)
    tally = Tally()
    noun = "removed polyp" if task_of(run) == REMOVAL else "new polyp"
    write_gallery(tally.through(read_records(folder)), folder, title=_title(run), noun=noun)
    write_card(folder, run, tally.statistics())


def write_annotations(folder: Path, run: Mapping[str, Any]) -> None:
    """Write the COCO file of a run. Ids count from 1 in the order of the manifest.

    Raises:
        RunFolderDamagedError: a record names a category that `run.json` doesn't have.
        StorageError: the file can't be written.
    """
    categories = [CocoCategory(row["id"], row["name"], row["supercategory"]) for row in run["categories"]]
    licenses = [CocoLicense(row["id"], row["name"], row["url"]) for row in run["licenses"]]
    category_ids = {category.name: category.id for category in categories}
    license_ids = {(licence.name, licence.url): licence.id for licence in licenses}
    info = {"description": _title(run), "version": run["versions"]["polyp_aug"], "config": run["config"]}
    with CocoWriter(folder / ANNOTATIONS_NAME, categories, licenses, info) as writer:
        for image_id, record in enumerate(_made(folder), start=1):
            writer.add_image(_image(image_id, record, license_ids))
        annotation_id = 0
        for image_id, record in enumerate(_made(folder), start=1):
            for item in record["objects"]:
                if item["origin"] == "removed":
                    continue
                annotation_id += 1
                if item["category"] not in category_ids:
                    raise RunFolderDamagedError(f"sample {record['sample']}: unknown category {item['category']!r}")
                writer.add_annotation(_annotation(annotation_id, image_id, category_ids[item["category"]], item))


def _title(run: Mapping[str, Any]) -> str:
    config, inputs = run["config"], run["inputs"]
    if task_of(run) == FRAMES:
        return f"Frames by {config['synthesizer']} with masks of {inputs['references']}"
    word = "without" if task_of(run) == REMOVAL else "with"
    return f"{inputs['backgrounds']} {word} polyps by {config['synthesizer']}"


def _made(folder: Path) -> Iterator[dict[str, Any]]:
    return (record for record in read_records(folder) if record["status"] == "made")


def _image(image_id: int, record: Mapping[str, Any], license_ids: Mapping[tuple[str, str], int]) -> CocoImage:
    background = record["background"]
    extra = {name: background[name] for name in ("dataset", "split", "group") if name in background}
    return CocoImage(
        id=image_id,
        file_name=record["file_name"],
        width=record["width"],
        height=record["height"],
        license=license_ids.get((background.get("licence", ""), background.get("licence_url", ""))),
        extra=extra | {"background": background["file"], "sample": record["sample"]},
    )


def _annotation(annotation_id: int, image_id: int, category_id: int, item: Mapping[str, Any]) -> CocoAnnotation:
    x, y, w, h = item["bbox"]
    return CocoAnnotation(
        id=annotation_id,
        image_id=image_id,
        category_id=category_id,
        bbox=(x, y, w, h),
        area=item["area"],
        segmentation=item["segmentation"],
        iscrowd=item.get("iscrowd", 0),
        extra=dict(item.get("extra", {})) | {"origin": item["origin"]},
    )
