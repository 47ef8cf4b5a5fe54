"""YOLOv8-s of mmyolo (GPL), for those who install that themselves; nothing else of this project needs it."""

model = dict(
    type="mmyolo.YOLODetector",
    data_preprocessor=dict(
        type="DetDataPreprocessor", mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0], bgr_to_rgb=True
    ),
    backbone=dict(
        type="mmyolo.YOLOv8CSPDarknet",
        arch="P5",
        last_stage_out_channels=1024,
        deepen_factor=0.33,
        widen_factor=0.5,
        norm_cfg=dict(type="BN", momentum=0.03, eps=0.001),
        act_cfg=dict(type="SiLU", inplace=True),
    ),
    neck=dict(
        type="mmyolo.YOLOv8PAFPN",
        deepen_factor=0.33,
        widen_factor=0.5,
        in_channels=[256, 512, 1024],
        out_channels=[256, 512, 1024],
        num_csp_blocks=3,
        norm_cfg=dict(type="BN", momentum=0.03, eps=0.001),
        act_cfg=dict(type="SiLU", inplace=True),
    ),
    bbox_head=dict(
        type="mmyolo.YOLOv8Head",
        head_module=dict(
            type="mmyolo.YOLOv8HeadModule",
            num_classes=1,
            in_channels=[256, 512, 1024],
            widen_factor=0.5,
            reg_max=16,
            norm_cfg=dict(type="BN", momentum=0.03, eps=0.001),
            act_cfg=dict(type="SiLU", inplace=True),
            featmap_strides=[8, 16, 32],
        ),
        prior_generator=dict(type="MlvlPointGenerator", offset=0.5, strides=[8, 16, 32]),
        bbox_coder=dict(type="mmyolo.DistancePointBBoxCoder"),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True, reduction="none", loss_weight=0.5),
        loss_bbox=dict(
            type="mmyolo.IoULoss",
            iou_mode="ciou",
            bbox_format="xyxy",
            reduction="sum",
            loss_weight=7.5,
            return_iou=False,
        ),
        loss_dfl=dict(type="DistributionFocalLoss", reduction="mean", loss_weight=0.375),
    ),
    train_cfg=dict(
        assigner=dict(
            type="mmyolo.BatchTaskAlignedAssigner",
            num_classes=1,
            use_ciou=True,
            topk=10,
            alpha=0.5,
            beta=6.0,
            eps=1e-9,
        )
    ),
    test_cfg=dict(
        multi_label=False,
        nms_pre=30000,
        score_thr=0.001,
        nms=dict(type="nms", iou_threshold=0.7),
        max_per_img=100,
    ),
)
