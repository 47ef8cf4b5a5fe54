"""Whole frames, stretched to 256×256 pixels, so that nothing is padded.

A detector that never saw a black border in training fires on one: the pipelines that mmdet ships for CenterNet pad.
Endoscopes have no upright, so frames are flipped both ways.
"""

image_size = (256, 256)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    # PhotoMetricDistortion would swap the colours: half of the polyps would be blue or green.
    dict(type="YOLOXHSVRandomAug", hue_delta=5, saturation_delta=30, value_delta=30),
    dict(type="RandomFlip", prob=0.75, direction=["horizontal", "vertical", "diagonal"]),
    dict(type="Resize", scale=image_size, keep_ratio=False),
    dict(
        type="RandomAffine",
        max_rotate_degree=0.0,
        max_translate_ratio=0.1,
        scaling_ratio_range=(0.7, 1.4),
        max_shear_degree=0.0,
        border_val=(0, 0, 0),
    ),
    # What is left of a box at the border; frames whose box is dropped stay.
    dict(type="FilterAnnotations", min_gt_bbox_wh=(4, 4), keep_empty=False),
    # The keys that mmdet takes by itself, and whether the frame is synthetic.
    dict(
        type="PackDetInputs",
        meta_keys=(
            *("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction"),
            "synthetic",
        ),
    ),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=image_size, keep_ratio=False),
    dict(type="NoBorder"),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "border")),
]
