"""MMDetection: importing this registers our parts of a config, which is what a config's `custom_imports` does.

Raises:
    MissingDependencyError: mmdet, mmcv or mmengine is not installed.
"""

from polyp_aug.optional import require

for _name in ("mmengine", "mmcv", "mmdet"):
    require(_name, "mmdet")

from polyp_aug.integrations.mmdet import (  # noqa: E402
    backbone_weights,
    drawing,
    hooks,
    metrics,
    mixed_precision,
    mixing,
    mixing_hook,
    origins,
    synthesis,
    transforms,
    weighting,
)

__all__ = [
    "backbone_weights",
    "drawing",
    "hooks",
    "metrics",
    "mixed_precision",
    "mixing",
    "mixing_hook",
    "origins",
    "synthesis",
    "transforms",
    "weighting",
]
