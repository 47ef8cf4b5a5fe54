"""The control branch of CCIS-Diff: a ControlNet that is given masks, and minds the prompt."""

from __future__ import annotations

from functools import partial
from typing import Any

from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.controlnets.controlnet import ControlNetOutput
from torch import Tensor, nn

from polyp_aug.errors import ConfigurationError
from polyp_aug.synthesizers.ccis_diff.attention import PromptAttnProcessor, TextAwareAttnProcessor
from polyp_aug.synthesizers.ccis_diff.blur import blur_masks
from polyp_aug.synthesizers.ccis_diff.conditioning import BlurMaskWeighting, MaskInjection

#: Settings of a UNet that its control branch shares.
_SHARED = (
    "in_channels",
    "flip_sin_to_cos",
    "freq_shift",
    "down_block_types",
    "mid_block_type",
    "block_out_channels",
    "layers_per_block",
    "downsample_padding",
    "act_fn",
    "norm_num_groups",
    "norm_eps",
    "cross_attention_dim",
    "attention_head_dim",
    "use_linear_projection",
)
_ATTENDING = "CrossAttnDownBlock2D"


class CCISControlNet(ControlNetModel):  # type: ignore[misc]
    """A ControlNet whose condition is a mask, with blur mask weighting and text-aware attention.

    With both switched off it is diffusers' `ControlNetModel` with one conditioning channel. `save_pretrained` and
    `from_pretrained` work as for that.

    Args:
        blur_mask: weigh the features of the blurred mask (`BlurMaskWeighting`), and let them in again after every
            cross-attention (`MaskInjection`).
        text_aware: scale self-attention by the prompt (`TextAwareAttnProcessor`).
        blur_share: standard deviation of the blur over the equivalent diameter of the mask; the paper doesn't say.
        in_channels: see `ControlNetModel`, as are all others.
        flip_sin_to_cos: …
        freq_shift: …
        down_block_types: `CrossAttnDownBlock2D` and `DownBlock2D`, those of Stable Diffusion 1.5.
        mid_block_type: `UNetMidBlock2DCrossAttn`.
        block_out_channels: …
        layers_per_block: …
        downsample_padding: …
        act_fn: …
        norm_num_groups: …
        norm_eps: …
        cross_attention_dim: …
        attention_head_dim: …
        use_linear_projection: …
        conditioning_embedding_out_channels: of the mask encoders; each but the first halves the side, and the latents
            are as large as what comes out.

    Raises:
        ConfigurationError: a block is none of Stable Diffusion 1.5, or `blur_share` is negative.
    """

    #: Settings of `ControlNetModel` that are always the same here.
    ignore_for_config = [  # noqa: RUF012
        "conditioning_channels",
        "only_cross_attention",
        "mid_block_scale_factor",
        "transformer_layers_per_block",
        "encoder_hid_dim",
        "encoder_hid_dim_type",
        "num_attention_heads",
        "class_embed_type",
        "addition_embed_type",
        "addition_embed_type_num_heads",
        "addition_time_embed_dim",
        "num_class_embeds",
        "upcast_attention",
        "resnet_time_scale_shift",
        "projection_class_embeddings_input_dim",
        "controlnet_conditioning_channel_order",
        "global_pool_conditions",
    ]

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        blur_mask: bool = True,
        text_aware: bool = True,
        blur_share: float = 0.04,
        in_channels: int = 4,
        flip_sin_to_cos: bool = True,
        freq_shift: int = 0,
        down_block_types: tuple[str, ...] = (*(_ATTENDING,) * 3, "DownBlock2D"),
        mid_block_type: str = "UNetMidBlock2DCrossAttn",
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        downsample_padding: int = 1,
        act_fn: str = "silu",
        norm_num_groups: int = 32,
        norm_eps: float = 1e-5,
        cross_attention_dim: int = 768,
        attention_head_dim: int | tuple[int, ...] = 8,
        use_linear_projection: bool = False,
        conditioning_embedding_out_channels: tuple[int, ...] = (16, 32, 96, 256),
    ) -> None:
        unknown = {*down_block_types, mid_block_type} - {_ATTENDING, "DownBlock2D", "UNetMidBlock2DCrossAttn"}
        if unknown:
            raise ConfigurationError(f"block {sorted(unknown)[0]} is none of Stable Diffusion 1.5")
        if blur_share < 0.0:
            raise ConfigurationError(f"'blur_share' must not be negative (got {blur_share})")
        super().__init__(
            in_channels=in_channels,
            conditioning_channels=1,
            flip_sin_to_cos=flip_sin_to_cos,
            freq_shift=freq_shift,
            down_block_types=down_block_types,
            mid_block_type=mid_block_type,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            downsample_padding=downsample_padding,
            act_fn=act_fn,
            norm_num_groups=norm_num_groups,
            norm_eps=norm_eps,
            cross_attention_dim=cross_attention_dim,
            attention_head_dim=attention_head_dim,
            use_linear_projection=use_linear_projection,
            conditioning_embedding_out_channels=conditioning_embedding_out_channels,
        )
        self.gradient_checkpointing = False
        first = block_out_channels[0]
        self.blur_mask_weighting: BlurMaskWeighting | None = None
        self.mask_injections = nn.ModuleList()
        if blur_mask:
            self.blur_mask_weighting = BlurMaskWeighting(first, conditioning_embedding_out_channels)
            attending = [
                channels
                for kind, channels in zip(down_block_types, block_out_channels, strict=True)
                for _ in range(layers_per_block)
                if kind == _ATTENDING
            ]
            self.mask_injections.extend(
                MaskInjection(channels, first, norm_num_groups) for channels in (*attending, block_out_channels[-1])
            )
        if text_aware:
            for module in self.modules():
                if isinstance(module, BasicTransformerBlock):
                    module.attn1.set_processor(TextAwareAttnProcessor(module.attn2))
                    module.attn2.set_processor(PromptAttnProcessor())

    @classmethod
    def from_unet(cls, unet: UNet2DConditionModel, **settings: Any) -> CCISControlNet:
        """The control branch of a UNet, its encoder's weights copied.

        Args:
            unet: with the blocks of Stable Diffusion 1.5; an inpainting UNet of 9 channels does as well.
            **settings: of this class: `blur_mask`, `text_aware`, `blur_share`, `conditioning_embedding_out_channels`.

        Raises:
            ConfigurationError: a block is none of Stable Diffusion 1.5.
        """
        found: CCISControlNet = cls(**{name: unet.config[name] for name in _SHARED}, **settings)
        for name in ("conv_in", "time_proj", "time_embedding", "down_blocks", "mid_block"):
            getattr(found, name).load_state_dict(getattr(unet, name).state_dict())
        if unet.dtype != found.dtype:
            found.to(unet.dtype)
        return found

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        controlnet_cond: Tensor,
        conditioning_scale: float = 1.0,
        prompt_tokens: Tensor | None = None,
        return_dict: bool = True,
    ) -> ControlNetOutput | tuple[tuple[Tensor, ...], Tensor]:
        """What is added to the UNet's skip connections and its middle.

        Args:
            sample: input of the UNet, float (N, in_channels, h, w).
            timestep: a number, or (N,).
            encoder_hidden_states: the prompt's embeddings, float (N, tokens, features).
            controlnet_cond: M, float (N, 1, H, W), 1 where the polyp is to be; H and W are the picture's.
            conditioning_scale: factor of the result.
            prompt_tokens: bool (N, tokens), the prompt's own, without begin, end and padding; None, or none of them,
                leaves self-attention plain.
            return_dict: a `ControlNetOutput` instead of a tuple.
        """
        times = self.time_proj(_timesteps(timestep, sample)).to(sample.dtype)
        embedding = self.time_embedding(times)
        mask = controlnet_cond.to(sample.dtype)
        condition, weighted = self.controlnet_cond_embedding(mask), None
        if self.blur_mask_weighting is not None:
            condition, weighted = self.blur_mask_weighting(condition, blur_masks(mask, self.config.blur_share))
        prompt: dict[str, Any] = {"encoder_hidden_states": encoder_hidden_states}
        if self.config.text_aware and prompt_tokens is not None:
            prompt["cross_attention_kwargs"] = {"prompt_states": encoder_hidden_states, "prompt_tokens": prompt_tokens}

        hidden = self.conv_in(sample) + condition
        residuals = [hidden]
        injections = iter(self.mask_injections)
        for block in self.down_blocks:
            attentions = getattr(block, "attentions", [None] * len(block.resnets))
            for resnet, attention in zip(block.resnets, attentions, strict=True):
                hidden = self._run(resnet, hidden, embedding)
                if attention is not None:
                    hidden = self._run(attention, hidden, return_dict=False, **prompt)[0]
                    if weighted is not None:
                        hidden = self._run(next(injections), hidden, weighted)
                residuals.append(hidden)
            for downsampler in block.downsamplers or ():
                hidden = downsampler(hidden)
                residuals.append(hidden)
        hidden = self.mid_block(hidden, embedding, **prompt)
        if weighted is not None:
            hidden = self._run(next(injections), hidden, weighted)

        down = tuple(
            layer(residual) * conditioning_scale
            for layer, residual in zip(self.controlnet_down_blocks, residuals, strict=True)
        )
        middle = self.controlnet_mid_block(hidden) * conditioning_scale
        return ControlNetOutput(down, middle) if return_dict else (down, middle)

    def _run(self, module: nn.Module, *inputs: Any, **options: Any) -> Any:
        """A module's result, its activations computed anew in the backward pass where that is wanted."""
        if self.gradient_checkpointing and self.training:
            return self._gradient_checkpointing_func(partial(module, **options), *inputs)
        return module(*inputs, **options)


def _timesteps(timestep: Tensor | float, sample: Tensor) -> Tensor:
    times = timestep if isinstance(timestep, Tensor) else sample.new_tensor(timestep)
    return times.to(sample.device).reshape(-1).expand(len(sample))
