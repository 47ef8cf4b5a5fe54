"""YOLOv8-s of mmyolo (GPL), full, on real frames and generated ones."""

_base_ = [
    "../_base_/models/yolov8_s.py",
    "../_base_/datasets/coco_polyps_and_synthetic_640.py",
    "../_base_/optimizers/adamw.py",
    "../_base_/schedules/iterations_20000.py",
    "../_base_/default_runtime.py",
]

val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader
