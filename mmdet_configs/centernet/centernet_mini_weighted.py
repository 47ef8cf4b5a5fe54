"""CenterNet (Objects as Points), mini; generated frames count half as much as real ones."""

_base_ = "centernet_mini_ratio.py"

model = dict(type="WeightedCenterNet", train_cfg=dict(synthetic_weight=0.5))
