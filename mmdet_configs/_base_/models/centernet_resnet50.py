"""CenterNet of "Objects as Points" (Zhou, Wang and Krähenbühl, 2019) with ResNet-50 and deformable convolutions.

Not the CenterNet of keypoint triplets (Duan et al., 2019), which the paper of Polyp-Gen cites and mmdet doesn't have.
"""

model = dict(
    type="CenterNet",
    data_preprocessor=dict(
        type="DetDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(
        type="ResNet",
        depth=50,
        frozen_stages=1,
        norm_eval=False,
        norm_cfg=dict(type="BN"),
        # By its address, since mmengine needs torchvision for the name torchvision://resnet50.
        init_cfg=dict(type="Pretrained", checkpoint="https://download.pytorch.org/models/resnet50-0676ba61.pth"),
    ),
    neck=dict(
        type="CTResNetNeck",
        in_channels=2048,
        num_deconv_filters=(256, 128, 64),
        num_deconv_kernels=(4, 4, 4),
        use_dcn=True,
    ),
    bbox_head=dict(
        type="CenterNetHead",
        num_classes=1,
        in_channels=64,
        feat_channels=64,
        loss_center_heatmap=dict(type="GaussianFocalLoss", loss_weight=1.0),
        loss_wh=dict(type="L1Loss", loss_weight=0.1),
        loss_offset=dict(type="L1Loss", loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(topk=100, local_maximum_kernel=3, max_per_img=100),
)
