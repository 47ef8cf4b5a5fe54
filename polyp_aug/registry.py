"""Our scope in mmengine's registries: a config may say `type="polyp_aug.PolypSynthesis"` without importing anything.

mmengine imports this module when it meets the scope, and the locations when it looks for a name.
"""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

_LOCATIONS = ["polyp_aug.integrations.mmdet"]

DATA_SAMPLERS = Registry("data sampler", parent=MMENGINE_DATA_SAMPLERS, scope="polyp_aug", locations=_LOCATIONS)
HOOKS = Registry("hook", parent=MMENGINE_HOOKS, scope="polyp_aug", locations=_LOCATIONS)
TRANSFORMS = Registry("transform", parent=MMENGINE_TRANSFORMS, scope="polyp_aug", locations=_LOCATIONS)
