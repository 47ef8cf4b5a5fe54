"""CenterNet (Objects as Points), mini, on real frames and generated ones."""

_base_ = [
    "../_base_/models/centernet_mobilenetv2.py",
    "../_base_/datasets/coco_polyps_and_synthetic_256.py",
    "../_base_/optimizers/adamw.py",
    "../_base_/schedules/iterations_1500.py",
    "../_base_/default_runtime.py",
]

val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader
