"""CenterNet of "Objects as Points" (Zhou, Wang and Krähenbühl, 2019), small enough to be trained on a processor.

Not the CenterNet of keypoint triplets (Duan et al., 2019), which mmdet doesn't have. Backbone: MobileNetV2 with
ImageNet weights; upsampling with plain convolutions to a quarter of the input's side.
"""

model = dict(
    type="CenterNet",
    data_preprocessor=dict(
        type="DetDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(type="ImageNetMobileNetV2", out_indices=(7,), frozen_stages=3),
    neck=dict(
        type="CTResNetNeck",
        in_channels=1280,
        num_deconv_filters=(128, 64, 32),
        num_deconv_kernels=(4, 4, 4),
        use_dcn=False,
    ),
    bbox_head=dict(
        type="CenterNetHead",
        num_classes=1,
        in_channels=32,
        feat_channels=32,
        loss_center_heatmap=dict(type="GaussianFocalLoss", loss_weight=1.0),
        loss_wh=dict(type="L1Loss", loss_weight=0.1),
        loss_offset=dict(type="L1Loss", loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(topk=100, local_maximum_kernel=3, max_per_img=100),
)
