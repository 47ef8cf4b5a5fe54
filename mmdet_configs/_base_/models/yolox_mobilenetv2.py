"""YOLOX (Ge et al., 2021), small enough to be trained on a processor.

Backbone: MobileNetV2 with ImageNet weights, at strides 8, 16 and 32, in the place of CSPDarknet; neck and head are
those of YOLOX-tiny.
"""

model = dict(
    type="YOLOX",
    data_preprocessor=dict(
        type="DetDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(type="ImageNetMobileNetV2", out_indices=(2, 4, 6), frozen_stages=3),
    neck=dict(
        type="YOLOXPAFPN",
        in_channels=[32, 96, 320],
        out_channels=96,
        num_csp_blocks=1,
        norm_cfg=dict(type="BN", momentum=0.03, eps=0.001),
        act_cfg=dict(type="Swish"),
    ),
    bbox_head=dict(
        type="YOLOXHead",
        num_classes=1,
        in_channels=96,
        feat_channels=96,
        norm_cfg=dict(type="BN", momentum=0.03, eps=0.001),
        act_cfg=dict(type="Swish"),
    ),
    train_cfg=dict(assigner=dict(type="SimOTAAssigner", center_radius=2.5)),
    test_cfg=dict(score_thr=0.001, nms=dict(type="nms", iou_threshold=0.65), max_per_img=100),
)
