"""A small inpainting pipeline around a trained autoencoder, with random weights: where training from scratch begins.

It is a diffusers folder like a full-size one. The text encoder has random weights too, and stays as it is: prompts are
few, and the UNet learns what their embeddings stand for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from polyp_aug.errors import ConfigurationError
from polyp_aug.synthesizers.polyp_gen.weights import INPUT_CHANNELS
from polyp_aug.training.examples import PROMPTS

_START, _END = "<|startoftext|>", "<|endoftext|>"
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,-'"
_LENGTH = 16
_HEADS = 8


@dataclass(frozen=True)
class SmallPipelineConfig:
    """The form of the networks.

    Attributes:
        channels: of the UNet's levels, from the finest on; all levels but the finest attend.
        layers: residual layers in a level.
        groups: of channels that are normalised together.
        text_channels: of the text encoder.
        size: side in pixels of the pictures that it will be trained on.
        seed: of the random weights.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    channels: tuple[int, ...] = (96, 160, 224)
    layers: int = 1
    groups: int = 16
    text_channels: int = 64
    size: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("layers", "groups", "text_channels", "size"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name!r} must be at least 1 (got {getattr(self, name)})")
        if len(self.channels) < 2 or any(number < 1 or number % self.groups for number in self.channels):
            raise ConfigurationError(
                f"'channels' must be two or more, multiples of 'groups', {self.groups} (got {self.channels})"
            )
        if any(number % _HEADS for number in self.channels[1:]):
            raise ConfigurationError(
                f"'channels' must be multiples of {_HEADS} from the second on (got {self.channels})"
            )
        if self.text_channels % _HEADS:
            raise ConfigurationError(f"'text_channels' must be a multiple of {_HEADS} (got {self.text_channels})")


def build_small_pipeline(config: SmallPipelineConfig, vae: Path) -> StableDiffusionInpaintPipeline:
    """A pipeline for v-prediction with zero terminal SNR (Lin et al., 2024).

    Args:
        config: the form of the networks.
        vae: folder of an autoencoder, as `train_autoencoder` writes it.

    Raises:
        ConfigurationError: the autoencoder can't be loaded, or `size` doesn't fit its scale and the number of levels.
    """
    try:
        autoencoder = AutoencoderTiny.from_pretrained(vae, use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{vae}: can't be loaded as an autoencoder ({error})") from error
    cell = 2 ** (len(autoencoder.config.encoder_block_out_channels) - 1)
    levels = len(config.channels)
    if config.size % (cell * 2 ** (levels - 1)):
        raise ConfigurationError(f"'size' must be a multiple of {cell * 2 ** (levels - 1)} (got {config.size})")
    tokenizer = build_tokenizer([word for prompt in PROMPTS for word in prompt.lower().split()])
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        text_encoder = build_text_encoder(tokenizer, config.text_channels, layers=1)
        unet = UNet2DConditionModel(
            sample_size=config.size // cell,
            in_channels=INPUT_CHANNELS,
            out_channels=int(autoencoder.config.latent_channels),
            block_out_channels=config.channels,
            layers_per_block=config.layers,
            down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (levels - 1),
            up_block_types=("CrossAttnUpBlock2D",) * (levels - 1) + ("UpBlock2D",),
            cross_attention_dim=config.text_channels,
            # Heads, whatever the name says.
            attention_head_dim=_HEADS,
            norm_num_groups=config.groups,
        )
    return StableDiffusionInpaintPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(
            prediction_type="v_prediction",
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def build_text_encoder(tokenizer: CLIPTokenizer, channels: int, *, layers: int) -> CLIPTextModel:
    """A small text encoder with random weights, of torch's own generator.

    Args:
        tokenizer: what it reads.
        channels: of its states, a multiple of 8.
        layers: of attention.
    """
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=channels,
            intermediate_size=2 * channels,
            num_hidden_layers=layers,
            num_attention_heads=_HEADS,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
            # Larger than CLIP's own, so that the embeddings of different prompts lie far apart.
            initializer_factor=10.0,
        )
    )


def build_tokenizer(words: Sequence[str], length: int = _LENGTH) -> CLIPTokenizer:
    """A byte-pair tokenizer that holds each of `words` as one token, and spells any other.

    Args:
        words: lower case.
        length: tokens of a text, begin and end included.
    """
    merges = list(dict.fromkeys(merge for word in words for merge in _merges(word)))
    tokens = [_START, _END, *_LETTERS, *(f"{letter}</w>" for letter in _LETTERS), *("".join(pair) for pair in merges)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(
        vocab=vocabulary, merges=merges, model_max_length=length, bos_token=_START, eos_token=_END, pad_token=_END
    )


def _merges(word: str) -> Iterator[tuple[str, str]]:
    """The pairs that join a word's letters from its end: (y, p), (l, yp), …

    Only what ends a word is ever joined, so that no word's pairs come in the way of another's.
    """
    joined = f"{word[-1]}</w>"
    for letter in reversed(word[:-1]):
        yield letter, joined
        joined = letter + joined
