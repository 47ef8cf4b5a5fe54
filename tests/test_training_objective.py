"""The objective against a float64 reference written from the equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from polyp_aug.errors import ConfigurationError
from polyp_aug.training.objective import clean_latents, denoising_target, lesion_guided_loss, min_snr_weights, tone_loss

TYPES = ("epsilon", "v_prediction")


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    latents, noise, prediction = (torch.randn(6, 4, 8, 10, generator=generator) for _ in range(3))
    mask = (torch.rand(6, 1, 8, 10, generator=generator) < 0.3).float()
    return latents, noise, prediction, mask, torch.tensor([0, 10, 300, 500, 900, 999])


def scheduler(prediction_type: str, zero_terminal: bool = False) -> DDIMScheduler:
    return DDIMScheduler(prediction_type=prediction_type, rescale_betas_zero_snr=zero_terminal)


@pytest.mark.parametrize("zero_terminal", [False, True])
@pytest.mark.parametrize("prediction_type", TYPES)
@pytest.mark.parametrize("gamma", [None, 5.0])
@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_loss_equals_the_equations_in_float64(
    prediction_type: str, gamma: float | None, weight: float, zero_terminal: bool
) -> None:
    latents, noise, prediction, mask, steps = batch()
    kept = scheduler(prediction_type, zero_terminal).alphas_cumprod
    target = denoising_target(prediction_type, latents, noise, kept, steps)
    weights = min_snr_weights(prediction_type, kept, steps, gamma)
    found = lesion_guided_loss(prediction, target, mask, weight, weights)

    alpha = kept.double().numpy()[steps.numpy()]
    x, e, p, m = (item.double().numpy() for item in (latents, noise, prediction, mask))
    a, s = np.sqrt(alpha)[:, None, None, None], np.sqrt(1 - alpha)[:, None, None, None]
    y = e if prediction_type == "epsilon" else a * e - s * x
    snr = alpha / (1 - alpha)
    if gamma is None:
        w = np.ones(6)
    elif prediction_type == "epsilon":
        w = gamma / np.maximum(snr, gamma)
    else:
        w = np.minimum(snr + zero_terminal, gamma) / (snr + 1)
    mse = ((y - p) ** 2).reshape(6, -1).mean(axis=1)
    lesion = ((m * y - m * p) ** 2).reshape(6, -1).mean(axis=1)
    assert float(found) == pytest.approx(float((w * (mse + weight * lesion)).mean()), rel=2e-5)


@pytest.mark.parametrize("prediction_type", TYPES)
def test_a_perfect_prediction_stands_for_the_clean_latents(prediction_type: str) -> None:
    latents, noise, _, _, steps = batch()
    own = scheduler(prediction_type)
    noisy = own.add_noise(latents, noise, steps)
    target = denoising_target(prediction_type, latents, noise, own.alphas_cumprod, steps)
    found = clean_latents(prediction_type, target, noisy, own.alphas_cumprod, steps)
    torch.testing.assert_close(found, latents, rtol=1e-3, atol=1e-3)


def test_the_velocity_is_the_scheduler_s() -> None:
    latents, noise, _, _, steps = batch()
    own = scheduler("v_prediction")
    expected = own.get_velocity(latents, noise, steps)
    torch.testing.assert_close(denoising_target("v_prediction", latents, noise, own.alphas_cumprod, steps), expected)


@pytest.mark.parametrize("prediction_type", TYPES)
def test_weights_are_finite_with_zero_terminal_snr(prediction_type: str) -> None:
    kept = scheduler(prediction_type, zero_terminal=True).alphas_cumprod
    weights = min_snr_weights(prediction_type, kept, torch.tensor([0, 500, 999]), 5.0)
    assert torch.isfinite(weights).all()
    assert float(weights[-1]) == pytest.approx(1.0, abs=1e-6)
    assert float(weights[0]) < 0.01


def test_the_lesion_counts_more() -> None:
    _, noise, _, mask, _ = batch()
    inside, outside = noise + mask, noise + (1 - mask)
    ones = torch.ones(6)
    share = float(mask.mean())
    per_pixel = [
        float(lesion_guided_loss(off, noise, mask, 0.5, ones)) / part
        for off, part in ((inside, share), (outside, 1 - share))
    ]
    assert per_pixel == pytest.approx([1.5, 1.0], rel=1e-5)


def test_the_tone_is_the_mean_error_of_lesion_and_surroundings() -> None:
    target, _, prediction, mask, _ = batch()
    mask[0], mask[1] = 0.0, 1.0
    weights = torch.linspace(0.5, 1.0, 6)
    expected = 0.0
    for number in range(6):
        error = (target - prediction)[number].double().numpy()
        inside = mask[number, 0].numpy() > 0
        for region in (inside, ~inside):
            if region.any():
                expected += float(weights[number]) * np.square(error[:, region].mean(axis=1)).mean() / 6
    assert float(tone_loss(prediction, target, mask, weights)) == pytest.approx(expected, rel=1e-5)
    # An error that averages out over both regions counts nothing.
    waves = torch.tensor([1.0, -1.0]).repeat(5).expand(6, 4, 8, 10)
    assert float(tone_loss(waves, torch.zeros_like(waves), torch.zeros(6, 1, 8, 10), weights)) == pytest.approx(0.0)


def test_wrong_settings_are_named() -> None:
    latents, noise, _, _, steps = batch()
    kept = scheduler("epsilon").alphas_cumprod
    with pytest.raises(ConfigurationError, match="'prediction_type' must be epsilon or v_prediction"):
        denoising_target("sample", latents, noise, kept, steps)
    with pytest.raises(ConfigurationError, match="gamma"):
        min_snr_weights("epsilon", kept, steps, 0.0)
