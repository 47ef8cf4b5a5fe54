"""COCO sets of polyps, as `polyp-aug prepare` writes them: a folder with annotations.json and images/.

`polyp-aug train detector` puts the sets of its command line in the place of these.
"""

data_root = "data/polyps/"
train_set = "train/"
val_set = "val/"
metainfo = dict(classes=("polyp",))

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    # Its indices know their draw: transforms give the same for any number of workers.
    sampler=dict(type="DrawnSampler", sampler=dict(type="InfiniteSampler", shuffle=True)),
    dataset=dict(
        type="OriginCocoDataset",
        metainfo=metainfo,
        data_root=data_root,
        ann_file=train_set + "annotations.json",
        data_prefix=dict(img=train_set + "images/"),
        # mmdet's own base config leaves out frames without polyps; here they are half of what a detector learns from.
        filter_cfg=dict(filter_empty_gt=False),
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset",
        metainfo=metainfo,
        data_root=data_root,
        ann_file=val_set + "annotations.json",
        data_prefix=dict(img=val_set + "images/"),
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

# Where nothing is detected its scores are 0, mmdet's own are missing.
val_evaluator = dict(type="CompleteCocoMetric", ann_file=data_root + val_set + "annotations.json", metric="bbox")
test_evaluator = val_evaluator
