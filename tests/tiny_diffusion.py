"""A tiny inpainting pipeline of diffusers' real classes, with random weights."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer


def tokenizer() -> CLIPTokenizer:
    """Knows single letters: enough to tell prompts apart."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=12)


def pipeline(prediction_type: str = "v_prediction", input_channels: int = 9) -> StableDiffusionInpaintPipeline:
    """Pictures of 32 pixels, latents at a quarter of that."""
    torch.manual_seed(0)
    words = tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=12,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=input_channels,
        out_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
    )
    made = StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=words,
        unet=unet,
        scheduler=DDIMScheduler(
            prediction_type=prediction_type,
            rescale_betas_zero_snr=prediction_type == "v_prediction",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
            timestep_spacing="trailing",
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


def save_lora(folder: Path) -> Path:
    """LoRA weights for the UNet's attention that change its result visibly, as one safetensors file."""
    unet = pipeline().unet
    torch.manual_seed(1)
    unet.add_adapter(
        LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_v", "to_out.0"])
    )
    layers = get_peft_model_state_dict(unet)
    StableDiffusionInpaintPipeline.save_lora_weights(
        folder, unet_lora_layers={name: 4.0 * weights for name, weights in layers.items()}
    )
    return next(folder.glob("*.safetensors"))


#: Prefix in diffusers → prefix in a checkpoint of the original Stable Diffusion, for this pipeline's UNet.
_UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "down_blocks.1.resnets.0": "input_blocks.3.0",
    "down_blocks.1.attentions.0": "input_blocks.3.1",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "up_blocks.0.resnets.0": "output_blocks.0.0",
    "up_blocks.0.attentions.0": "output_blocks.0.1",
    "up_blocks.0.resnets.1": "output_blocks.1.0",
    "up_blocks.0.attentions.1": "output_blocks.1.1",
    "up_blocks.0.upsamplers.0.conv": "output_blocks.1.2.conv",
    "up_blocks.1.resnets.0": "output_blocks.2.0",
    "up_blocks.1.resnets.1": "output_blocks.3.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def save_original_checkpoint(file: Path) -> None:
    """UNet, autoencoder and text encoder in one file, with the names of the original Stable Diffusion."""
    made = pipeline()
    state = {f"model.diffusion_model.{_original_unet(name)}": value for name, value in made.unet.state_dict().items()}
    state |= {f"first_stage_model.{_original_vae(name)}": value for name, value in made.vae.state_dict().items()}
    text = made.text_encoder.state_dict()
    state |= {f"cond_stage_model.transformer.text_model.{name}": value for name, value in text.items()}
    save_file({name: value.contiguous() for name, value in state.items()}, file)


def _original_unet(name: str) -> str:
    block = next(prefix for prefix in _UNET if name.startswith(f"{prefix}."))
    rest = name.removeprefix(f"{block}.")
    if ".resnets." in f".{block}.":
        layer, _, leaf = rest.partition(".")
        rest = f"{_RESNET[layer]}.{leaf}"
    return f"{_UNET[block]}.{rest}"


def _original_vae(name: str) -> str:
    name = re.sub(r"\bdown_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"\bdown_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    # The original counts the decoder's levels from the finest on.
    name = re.sub(r"\bup_blocks\.(\d)\.resnets\.(\d)", lambda found: f"up.{2 - int(found[1])}.block.{found[2]}", name)
    name = re.sub(r"\bup_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{2 - int(found[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("conv_shortcut", "nin_shortcut")
    name = name.replace("attn_1.group_norm", "attn_1.norm").replace("conv_norm_out", "norm_out")
    return re.sub(
        r"attn_1\.to_(q|k|v|out)(?:\.0)?", lambda found: f"attn_1.{found[1].replace('out', 'proj_out')}", name
    )
