"""CenterNet (Objects as Points), full; the train pipeline decides whether synthetic polyps are added."""

_base_ = [
    "../_base_/models/centernet_resnet50.py",
    "../_base_/datasets/coco_polyps.py",
    "../_base_/pipelines/square_640_online.py",
    "../_base_/optimizers/adamw.py",
    "../_base_/schedules/iterations_20000.py",
    "../_base_/default_runtime.py",
]

train_dataloader = dict(dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader
