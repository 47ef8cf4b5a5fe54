"""CenterNet (Objects as Points), mini; 2 of the 8 frames of every batch are generated ones."""

_base_ = "centernet_mini_offline.py"

train_dataloader = dict(sampler=dict(_delete_=True, type="MixingSampler", batch_size=8, share=0.25))
