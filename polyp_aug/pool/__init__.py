"""Pools: painted polyps, cut out, to be laid over the frames that they were painted into while a detector trains."""

from polyp_aug.pool.read import Pool
from polyp_aug.pool.variant import PoolObject, PoolVariant
from polyp_aug.pool.write import PoolWriter, ensure_pool

__all__ = ["Pool", "PoolObject", "PoolVariant", "PoolWriter", "ensure_pool"]
