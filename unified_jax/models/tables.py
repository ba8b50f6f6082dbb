"""Tables: which function reads a config, by the name that the config gives its network."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

# Families in the library's own layout.
FAMILIES = {
    "transfusion": "unified_jax.models.transfusion.transfusion",
    "chameleon": "unified_jax.models.chameleon.chameleon",
    "dit": "unified_jax.models.dit.dit",
    "gaussian": "unified_jax.models.gaussian.gaussian",
    "next_step": "unified_jax.models.next_step.next_step",
    "rand_ar": "unified_jax.models.rand_ar.rand_ar",
    "representation": "unified_jax.models.representation.representation",
    "show_o": "unified_jax.models.show_o.show_o",
    "var": "unified_jax.models.var.var",
    "vq": "unified_jax.models.vq.vq",
}

# Published systems that read or draw pictures, by model_type.
SYSTEMS = {
    "bagel": "unified_jax.models.bagel.bagel",
    "blip-2": "unified_jax.models.blip2.blip2",
    "chameleon": "unified_jax.models.chameleon_released.chameleon",
    "emu3": "unified_jax.models.emu3.emu3",
    "fuyu": "unified_jax.models.fuyu.fuyu",
    "janus": "unified_jax.models.janus.janus",
    "llamafusion": "unified_jax.models.fusion.llamafusion",
    "llamagen": "unified_jax.models.llamagen.llamagen",
    "llava": "unified_jax.models.llava.llava",
    "llava_onevision": "unified_jax.models.llava_onevision.llava_onevision",
    "qwen2_5_vl": "unified_jax.models.qwen2_5_vl.qwen2_5_vl",
    "mar": "unified_jax.models.mar.mar",
    "mmada": "unified_jax.models.mmada.mmada",
    "mogao": "unified_jax.models.mogao.mogao",
    "multi_modality": "unified_jax.models.janusflow.janusflow",
    "Showo2Qwen2_5": "unified_jax.models.show_o2.show_o2",
    "Showo": "unified_jax.models.show_o_released.show_o",
    "transfusion": "unified_jax.models.fusion.transfusion",
    "unipic": "unified_jax.models.unipic.unipic",
    "var": "unified_jax.models.var_released.var",
}

# Published language models, by model_type: alone, or the text side of a system.
DECODERS = {
    "chameleon": "unified_jax.models.decoders.chameleon.chameleon",
    "emu3_text_model": "unified_jax.models.decoders.emu3.emu3_text",
    "gemma2": "unified_jax.models.decoders.gemma.gemma2",
    "llama": "unified_jax.models.decoders.llama.llama",
    "mistral": "unified_jax.models.decoders.llama.mistral",
    "mixtral": "unified_jax.models.decoders.mixtral.mixtral",
    "opt": "unified_jax.models.decoders.opt.opt",
    "persimmon": "unified_jax.models.decoders.persimmon.persimmon",
    "phi": "unified_jax.models.decoders.phi.phi",
    "qwen2": "unified_jax.models.decoders.qwen.qwen2",
    "qwen2_5_vl_text": "unified_jax.models.decoders.qwen.qwen2_5_vl_text",
    "qwen3": "unified_jax.models.decoders.qwen.qwen3",
    "qwen3_moe": "unified_jax.models.decoders.qwen.qwen3_moe",
}

# Published pieces of larger systems: by the _class_name of diffusers, or the model_type of transformers.
COMPONENTS = {
    "AutoencoderDC": "unified_jax.models.codecs.deep.autoencoder_dc",
    "AutoencoderKL": "unified_jax.models.codecs.kl.autoencoder_kl",
    "AutoencoderKLQwenImage": "unified_jax.models.codecs.wan.qwen_image",
    "AutoencoderKLWan": "unified_jax.models.codecs.wan.wan",
    "AutoencoderRAE": "unified_jax.models.codecs.rae.autoencoder_rae",
    "blip_2_qformer": "unified_jax.models.encoders.blip2.blip2_qformer",
    "blip_2_vision_model": "unified_jax.models.encoders.blip2.blip2_vision",
    "chameleon_vqgan": "unified_jax.models.codecs.vqgan.chameleon_vqgan",
    "clip_text_model": "unified_jax.models.encoders.clip.clip_text",
    "clip_vision_model": "unified_jax.models.encoders.clip.clip_vision",
    "dinov2": "unified_jax.models.encoders.dinov2.dinov2",
    "dinov2_with_registers": "unified_jax.models.encoders.dinov2.dinov2_with_registers",
    "DiTTransformer2DModel": "unified_jax.models.denoisers.dit.dit",
    "emu3_vqgan": "unified_jax.models.codecs.emu3.emu3_vqgan",
    "flux_autoencoder": "unified_jax.models.codecs.flux.flux_autoencoder",
    "FluxTransformer2DModel": "unified_jax.models.denoisers.flux.flux",
    "janus_vision_model": "unified_jax.models.encoders.janus.janus_vision",
    "janus_vqgan": "unified_jax.models.codecs.vqgan.janus_vqgan",
    "llamagen_vq": "unified_jax.models.codecs.llamagen.llamagen_vq",
    "Lumina2Transformer2DModel": "unified_jax.models.denoisers.lumina2.lumina2",
    "magvitv2": "unified_jax.models.codecs.magvit.magvit",
    "PixArtTransformer2DModel": "unified_jax.models.denoisers.pixart.pixart",
    "QwenImageTransformer2DModel": "unified_jax.models.denoisers.qwen_image.qwen_image",
    "SD3Transformer2DModel": "unified_jax.models.denoisers.sd3.sd3",
    "siglip2_vision_model": "unified_jax.models.encoders.siglip.siglip2_vision",
    "siglip_vision_model": "unified_jax.models.encoders.siglip.siglip_vision",
    "t5": "unified_jax.models.encoders.t5.t5",
    "umt5": "unified_jax.models.encoders.t5.umt5",
    "var_vae": "unified_jax.models.codecs.var.var_vae",
    "VQModel": "unified_jax.models.codecs.vq_model.vq_model",
}

# Networks of a published folder of several that its config has no field of their own for, or not all of: by the
# folder's model_type, and what ``part`` of ``from_pretrained`` calls them.
PARTS = {
    "blip-2": {"connector": "unified_jax.models.connectors.blip2.blip2"},
    "clip": {
        "text_config": "unified_jax.models.encoders.clip.text_of_clip",
        "vision_config": "unified_jax.models.encoders.clip.vision_of_clip",
    },
    "idefics2": {"connector": "unified_jax.models.connectors.idefics2.idefics2"},
    "idefics3": {"connector": "unified_jax.models.connectors.projector.idefics3"},
    "internvl": {"connector": "unified_jax.models.connectors.projector.internvl"},
    "llava": {"connector": "unified_jax.models.connectors.projector.llava"},
    "qwen2_5_vl": {"connector": "unified_jax.models.connectors.projector.qwen2_5_vl"},
    "qwen2_vl": {"connector": "unified_jax.models.connectors.projector.qwen2_vl"},
    "smolvlm": {"connector": "unified_jax.models.connectors.projector.idefics3"},
}


def kind_of(config: Mapping[str, Any]) -> str | None:
    """What transformers or diffusers calls the network."""
    return config.get("_class_name", config.get("model_type"))


def parts_of(config: Mapping[str, Any]) -> list[str]:
    """What ``part`` may be for a folder with this config, in alphabetical order."""
    described = {key for key, value in config.items() if isinstance(value, dict) and kind_of(value) in COMPONENTS}
    return sorted(described | set(PARTS.get(kind_of(config), {})))


def find(table: Mapping[str, str], name: str | None) -> Callable[..., Any]:
    """The function that the table has for the name. Raises ValueError for an unknown one."""
    if name not in table:
        raise ValueError(f"unknown model_type {name!r}; known are {', '.join(table)}")
    file, _, function = table[name].rpartition(".")
    return getattr(importlib.import_module(file), function)
