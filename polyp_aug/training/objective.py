"""The training objective of Polyp-Gen: denoising, with more weight on the lesion.

L = L_MSE + λ L_LG (eq. 4), L_MSE = E ‖y − ŷ‖² (eq. 2), L_LG = E ‖m ⊙ y − m ⊙ ŷ‖² (eq. 3), both averaged over all
elements. The target y is the noise ε or the velocity v = α ε − σ x₀ (Salimans and Ho, 2022), and each sample may be
weighted by min-SNR (Hang et al., 2023).
"""

from __future__ import annotations

import torch
from torch import Tensor

from polyp_aug.errors import ConfigurationError


def denoising_target(
    prediction_type: str, latents: Tensor, noise: Tensor, alphas_cumprod: Tensor, timesteps: Tensor
) -> Tensor:
    """What the network should predict.

    Args:
        prediction_type: of the scheduler's configuration: "epsilon" or "v_prediction".
        latents: x₀, float (N, C, H, W).
        noise: ε, of the same shape.
        alphas_cumprod: ᾱ of every time step, float (T,).
        timesteps: int (N,).

    Returns:
        ε, or v = √ᾱ ε − √(1 − ᾱ) x₀.

    Raises:
        ConfigurationError: another prediction type.
    """
    _check(prediction_type)
    if prediction_type == "epsilon":
        return noise
    # In float32: half precision would round 1 − ᾱ of the first steps to 0.
    kept = alphas_cumprod.to(timesteps.device)[timesteps].float().view(-1, 1, 1, 1)
    return (kept.sqrt() * noise.float() - (1.0 - kept).sqrt() * latents.float()).to(latents.dtype)


def clean_latents(
    prediction_type: str, prediction: Tensor, noisy: Tensor, alphas_cumprod: Tensor, timesteps: Tensor
) -> Tensor:
    """The latents without noise that a prediction stands for.

    Args:
        prediction_type: as in `denoising_target`.
        prediction: ε̂ or v̂, float (N, C, H, W).
        noisy: x_t, of the same shape.
        alphas_cumprod: ᾱ of every time step, float (T,).
        timesteps: int (N,).

    Returns:
        x̂₀ = √ᾱ x_t − √(1 − ᾱ) v̂, or (x_t − √(1 − ᾱ) ε̂) / √ᾱ, float32.

    Raises:
        ConfigurationError: another prediction type.
    """
    _check(prediction_type)
    kept = alphas_cumprod.to(timesteps.device)[timesteps].float().view(-1, 1, 1, 1)
    if prediction_type == "epsilon":
        return (noisy.float() - (1.0 - kept).sqrt() * prediction.float()) / kept.sqrt().clamp_min(1e-6)
    return kept.sqrt() * noisy.float() - (1.0 - kept).sqrt() * prediction.float()


def min_snr_weights(prediction_type: str, alphas_cumprod: Tensor, timesteps: Tensor, gamma: float | None) -> Tensor:
    """Weight of each sample, min(SNR, γ) / SNR for ε and min(SNR, γ) / (SNR + 1) for v, with SNR = ᾱ / (1 − ᾱ).

    v with zero terminal SNR would get no weight at pure noise, where sampling starts. There SNR + 1, which is what v
    weighs the error in x₀ with, takes the place of SNR: min(SNR + 1, γ) / (SNR + 1), which is 1 down from SNR = γ − 1.

    Args:
        prediction_type: as in `denoising_target`.
        alphas_cumprod: ᾱ of every time step, float (T,).
        timesteps: int (N,).
        gamma: γ, or None for equal weights.

    Returns:
        float (N,).

    Raises:
        ConfigurationError: another prediction type, or γ is not positive.
    """
    _check(prediction_type)
    if gamma is None:
        return torch.ones(timesteps.shape, device=timesteps.device)
    if gamma <= 0:
        raise ConfigurationError(f"'gamma' must be positive (got {gamma})")
    kept = alphas_cumprod.to(timesteps.device)[timesteps].float()
    ratio = kept / (1.0 - kept).clamp_min(1e-12)
    if prediction_type == "epsilon":
        return torch.where(ratio > gamma, gamma / ratio.clamp_min(1e-12), torch.ones_like(ratio))
    capped = ratio + 1.0 if ends_in_noise(alphas_cumprod) else ratio
    return capped.clamp_max(gamma) / (ratio + 1.0)


def ends_in_noise(alphas_cumprod: Tensor) -> bool:
    """Whether a schedule has zero terminal SNR (Lin et al., 2024).

    Args:
        alphas_cumprod: ᾱ of every time step, float (T,).
    """
    return float(alphas_cumprod[-1]) < 1e-6


def lesion_guided_loss(prediction: Tensor, target: Tensor, mask: Tensor, weight: float, weights: Tensor) -> Tensor:
    """L = 1/N Σ_n w_n ( mean (y_n − ŷ_n)² + λ mean (m_n ⊙ (y_n − ŷ_n))² ).

    Args:
        prediction: ŷ, float (N, C, H, W).
        target: y, of the same shape.
        mask: m at the latents' size, float or bool (N, 1, H, W), 1 where the lesion is.
        weight: λ; 0.5 in the paper, 0 switches the lesion's part off.
        weights: w, float (N,), of `min_snr_weights`.

    Returns:
        A scalar, in float32.
    """
    error = (prediction.float() - target.float()).square()
    whole = error.mean(dim=(1, 2, 3))
    lesion = (error * mask.float().square()).mean(dim=(1, 2, 3))
    return (weights.float() * (whole + weight * lesion)).mean()


def tone_loss(prediction: Tensor, target: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """L = 1/N Σ_n w_n Σ_R mean_c (mean_R (y_nc − ŷ_nc))², R the lesion and what is around it.

    The error of a region's mean: its colour and light as a whole, which what a caption says of them decides. In the
    mean over all elements that is a small part beside what no caption tells.

    Args:
        prediction: ŷ, float (N, C, H, W).
        target: y, of the same shape.
        mask: m at the latents' size, float or bool (N, 1, H, W), 1 where the lesion is. An empty region counts nothing.
        weights: w, float (N,), of `min_snr_weights`.

    Returns:
        A scalar, in float32.
    """
    error = prediction.float() - target.float()
    regions = torch.cat([mask.float(), 1.0 - mask.float()], dim=1)
    total = torch.einsum("nchw,nrhw->nrc", error, regions)
    means = total / regions.sum(dim=(2, 3)).clamp_min(1.0)[..., None]
    return (weights.float() * means.square().mean(dim=2).sum(dim=1)).mean()


def _check(prediction_type: str) -> None:
    if prediction_type not in ("epsilon", "v_prediction"):
        raise ConfigurationError(f"'prediction_type' must be epsilon or v_prediction (got {prediction_type!r})")
