"""COCO data sets: reading and checking, writing, masks, merging, splitting and statistics."""

from polyp_aug.coco.masks import decode_segmentation, encode_region, encode_rle
from polyp_aug.coco.merge import MergeInput, merge_coco
from polyp_aug.coco.model import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, CocoLicense
from polyp_aug.coco.paths import resolve_image
from polyp_aug.coco.read import read_coco
from polyp_aug.coco.split import split_by_group
from polyp_aug.coco.statistics import dataset_statistics
from polyp_aug.coco.write import CocoWriter, annotation_record, image_record, write_coco

__all__ = [
    "CocoAnnotation",
    "CocoCategory",
    "CocoDataset",
    "CocoImage",
    "CocoLicense",
    "CocoWriter",
    "MergeInput",
    "annotation_record",
    "dataset_statistics",
    "decode_segmentation",
    "encode_region",
    "encode_rle",
    "image_record",
    "merge_coco",
    "read_coco",
    "resolve_image",
    "split_by_group",
    "write_coco",
]
