"""Configs of published networks as ``ujx bench`` measures them: codecs and denoisers smaller, encoders as published."""

from typing import Any


def stable_diffusion(width: int) -> dict[str, Any]:
    """``AutoencoderKL`` of Stable Diffusion, whose ``width`` is 128."""
    return {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "block_out_channels": [width, 2 * width, 4 * width, 4 * width],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "scaling_factor": 0.18215,
    }


def deep(width: int) -> dict[str, Any]:
    """``AutoencoderDC`` of Sana, whose ``width`` is 128."""
    kinds = ["ResBlock"] * 3 + ["EfficientViTBlock"] * 3
    widths = [width, 2 * width, 4 * width, 4 * width, 8 * width, 8 * width]
    scales = [[], [], [], [5], [5], [5]]
    return {
        "_class_name": "AutoencoderDC",
        "in_channels": 3,
        "latent_channels": 32,
        "attention_head_dim": 32,
        "encoder_block_types": kinds,
        "decoder_block_types": kinds,
        "encoder_block_out_channels": widths,
        "decoder_block_out_channels": widths,
        "encoder_layers_per_block": [2, 2, 2, 3, 3, 3],
        "decoder_layers_per_block": [3, 3, 3, 3, 3, 3],
        "encoder_qkv_multiscales": scales,
        "decoder_qkv_multiscales": scales,
        "downsample_block_type": "conv",
        "upsample_block_type": "interpolate",
        "decoder_norm_types": "rms_norm",
        "decoder_act_fns": "silu",
        "encoder_out_shortcut": True,
        "decoder_in_shortcut": True,
        "scaling_factor": 0.41407,
    }


def janus(width: int) -> dict[str, Any]:
    """``JanusVQVAE``, whose ``width`` is 128."""
    return {
        "model_type": "janus_vqgan",
        "base_channels": width,
        "channel_multiplier": [1, 1, 2, 2, 4],
        "num_res_blocks": 2,
        "latent_channels": 256,
        "embed_dim": 8,
        "num_embeddings": 16384,
        "in_channels": 3,
        "out_channels": 3,
    }


def emu3(width: int) -> dict[str, Any]:
    """``Emu3VQVAE``, whose ``width`` is 256."""
    return {
        "model_type": "emu3_vqgan",
        "base_channels": width,
        "channel_multiplier": [1, 2, 2, 4],
        "num_res_blocks": 2,
        "attn_resolutions": [3],
        "hidden_size": 4 * width,
        "codebook_size": 32768,
        "embed_dim": 4,
        "latent_channels": 4,
        "temporal_downsample_factor": 4,
        "in_channels": 3,
        "out_channels": 3,
    }


# ViT-B / 16, and the encoder of T5 base.
CLIP = {"model_type": "clip_vision_model", "patch_size": 16, "image_size": 224}
SIGLIP = {"model_type": "siglip_vision_model", "patch_size": 16, "image_size": 224}
T5 = {
    "model_type": "t5",
    "vocab_size": 32128,
    "d_model": 768,
    "d_ff": 3072,
    "num_layers": 12,
    "num_heads": 12,
    "feed_forward_proj": "relu",
}

# DiT-S / 2, which predicts a variance too, and an MM-DiT of the same width.
DIT = {
    "_class_name": "DiTTransformer2DModel",
    "num_attention_heads": 6,
    "attention_head_dim": 64,
    "num_layers": 12,
    "out_channels": 8,
}
MM_DIT = {
    "_class_name": "SD3Transformer2DModel",
    "num_attention_heads": 6,
    "attention_head_dim": 64,
    "num_layers": 8,
    "caption_projection_dim": 384,
    "joint_attention_dim": 512,
    "pooled_projection_dim": 256,
    "qk_norm": "rms_norm",
}
