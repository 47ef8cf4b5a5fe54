"""DINO, full, on real frames and generated ones."""

_base_ = [
    "../_base_/models/dino_resnet50.py",
    "../_base_/datasets/coco_polyps_and_synthetic_640.py",
    "../_base_/optimizers/adamw_dino.py",
    "../_base_/schedules/iterations_20000.py",
    "../_base_/default_runtime.py",
]

val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader
