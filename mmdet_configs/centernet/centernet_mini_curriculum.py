"""CenterNet (Objects as Points), mini; first half of the training on generated frames, second half on real ones."""

_base_ = "centernet_mini_ratio.py"

# Two points of one progress make a step.
train_dataloader = dict(sampler=dict(share=[(0.0, 1.0), (0.5, 1.0), (0.5, 0.0), (1.0, 0.0)], iterations=1500))
