"""20,000 iterations; the learning rate rises over 1,000, then falls along a cosine."""

train_cfg = dict(type="IterBasedTrainLoop", max_iters=20000, val_interval=2000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=1000),
    dict(type="CosineAnnealingLR", eta_min_ratio=0.05, by_epoch=False, begin=1000, end=20000, T_max=19000),
]
custom_hooks = [
    # Measured and saved are averages over about the last 2,000 iterations, running statistics of the norms included.
    dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.0005, gamma=1000, update_buffers=True, priority=49),
    dict(type="SynthesisReportHook"),
    dict(type="MixingHook"),
]
