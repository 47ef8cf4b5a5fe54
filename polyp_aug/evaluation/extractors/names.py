"""Names of extractors, without what they need."""

from __future__ import annotations

#: The extractor whose weights come with a package.
EFFICIENTNET_LITE0 = "efficientnet_lite0"

INCEPTION = "inception"
DINOV2 = "dinov2"
CLIP = "clip"

#: The label of the network whose figures alone are called FID, KID and IS.
INCEPTION_LABEL = "Inception-v3"

NAMES = (EFFICIENTNET_LITE0, INCEPTION, DINOV2, CLIP)
