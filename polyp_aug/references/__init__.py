"""Real polyps with masks, ready to be cut out: the reference data set."""

from polyp_aug.references.bank import ReferenceBank
from polyp_aug.references.cutting import OVEREXPOSED, PALE, CutOut
from polyp_aug.references.polyp import ReferencePolyp, image_source

__all__ = ["OVEREXPOSED", "PALE", "CutOut", "ReferenceBank", "ReferencePolyp", "image_source"]
