"""DINO, mini; the train pipeline decides whether synthetic polyps are added."""

_base_ = [
    "../_base_/models/dino_mobilenetv2.py",
    "../_base_/datasets/coco_polyps.py",
    "../_base_/pipelines/square_256.py",
    "../_base_/optimizers/adamw_dino.py",
    "../_base_/schedules/iterations_1500.py",
    "../_base_/default_runtime.py",
]

train_dataloader = dict(dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader
