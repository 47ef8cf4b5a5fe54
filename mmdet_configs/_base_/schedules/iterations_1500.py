"""1,500 iterations; the learning rate rises over 100, then falls along a cosine."""

train_cfg = dict(type="IterBasedTrainLoop", max_iters=1500, val_interval=500)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", eta_min_ratio=0.05, by_epoch=False, begin=100, end=1500, T_max=1400),
]
custom_hooks = [
    # Measured and saved are averages over about the last 200 iterations, running statistics of the norms included.
    dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.005, gamma=100, update_buffers=True, priority=49),
    dict(type="SynthesisReportHook"),
    dict(type="MixingHook"),
]
