"""CenterNet (Objects as Points), mini; half of the frames are generated ones at first, and none at the end."""

_base_ = "centernet_mini_ratio.py"

# (progress, share) points, between which the share is linear; progress counts these iterations.
train_dataloader = dict(sampler=dict(share=[(0.0, 0.5), (0.7, 0.5), (1.0, 0.0)], iterations=1500))
