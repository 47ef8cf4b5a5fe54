"""`ccis_diff`: whole frames from a mask and a caption (CCIS-Diff, Xie et al., 2025). Needs torch and diffusers."""

from polyp_aug.synthesizers.ccis_diff.control_net import CCISControlNet
from polyp_aug.synthesizers.ccis_diff.pipeline import CCISDiffPipeline

__all__ = ["CCISControlNet", "CCISDiffPipeline"]
