"""Structural similarity of two pictures (SSIM; Wang et al., IEEE Transactions on Image Processing 13, 2004)."""

from __future__ import annotations

import cv2
import numpy as np

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.intervals import Floats
from polyp_aug.images import ImageArray

#: Side and standard deviation of the Gaussian window in pixels.
WINDOW = 11
SIGMA = 1.5

_C1 = (0.01 * 255.0) ** 2
_C2 = (0.03 * 255.0) ** 2


def structural_similarity(first: ImageArray, second: ImageArray) -> float:
    """Mean SSIM over the places where the whole window lies in the picture, and over the channels.

    SSIM = (2 μ_a μ_b + C1)(2 σ_ab + C2) / ((μ_a² + μ_b² + C1)(σ_a² + σ_b² + C2)), equations 13 to 16, with weights of
    an 11×11 Gaussian window (σ = 1.5 px) that add up to 1, C1 = (0.01 · 255)², C2 = (0.03 · 255)². The paper's figures
    are of the grey picture; here each of R, G, B counts alike. Weakness: it hardly sees a changed hue.

    Args:
        first: uint8 (H, W, 3), both sides at least 11.
        second: of the same shape.

    Returns:
        At most 1, which only equal pictures reach.

    Raises:
        ConfigurationError: the shapes differ or are too small.
    """
    if first.shape != second.shape or first.ndim != 3 or min(first.shape[:2]) < WINDOW:
        raise ConfigurationError(
            f"SSIM of {first.shape} and {second.shape}: expected one shape (H, W, 3), 11 px at least"
        )
    a, b = first.astype(np.float64), second.astype(np.float64)
    mean_a, mean_b = _smooth(a), _smooth(b)
    variances = _smooth(a * a) - mean_a**2 + _smooth(b * b) - mean_b**2
    covariance = _smooth(a * b) - mean_a * mean_b
    likeness = (2.0 * mean_a * mean_b + _C1) * (2.0 * covariance + _C2)
    return float(np.mean(likeness / ((mean_a**2 + mean_b**2 + _C1) * (variances + _C2))))


def _smooth(values: Floats) -> Floats:
    """Weighted means of the windows that lie in the picture."""
    window = cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_64F)
    half = WINDOW // 2
    return np.asarray(cv2.sepFilter2D(values, cv2.CV_64F, window, window)[half:-half, half:-half], dtype=np.float64)
