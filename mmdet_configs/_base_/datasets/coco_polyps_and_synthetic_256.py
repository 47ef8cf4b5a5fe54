"""Real sets and generated ones; of a batch of 8, 5 frames are real and 3 synthetic, whatever the sets' sizes.

`polyp-aug train detector` puts the sets of `--data` in the place of the first one and those of `--synthetic` in the
place of the second.
"""

_base_ = ["coco_polyps.py", "../pipelines/square_256.py"]

train_dataloader = dict(
    sampler=dict(
        _delete_=True,
        type="DrawnSampler",
        sampler=dict(type="MultiSourceSampler", batch_size=8, source_ratio=[5, 3]),
    ),
    dataset=dict(
        _delete_=True,
        type="ConcatDataset",
        datasets=[
            dict(
                type="OriginCocoDataset",
                metainfo={{_base_.metainfo}},
                data_root="data/polyps/",
                ann_file=folder + "annotations.json",
                data_prefix=dict(img=folder + "images/"),
                filter_cfg=dict(filter_empty_gt=False),
                pipeline={{_base_.train_pipeline}},
            )
            for folder in ("train/", "synthetic/")
        ],
    ),
)
