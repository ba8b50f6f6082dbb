"""The published codecs that are compared with their references: a small random model for each, every option in use."""

import dataclasses
from collections.abc import Callable

import diffusers
import numpy as np
import torch
import transformers
from transformers.models.emu3.modeling_emu3 import Emu3VQVAE
from transformers.models.janus.modeling_janus import JanusVQVAE

SIZES = dict(base_channels=32, channel_multiplier=[1, 2], num_res_blocks=1, latent_channels=8, embed_dim=6)
DIFFUSERS = dict(
    block_out_channels=(32, 64),
    latent_channels=4,
    num_vq_embeddings=40,
    layers_per_block=1,
    norm_num_groups=16,
    down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
)


@dataclasses.dataclass(frozen=True)
class Case:
    """name: of the row. build: the reference with the case's sizes. encode: (reference, pixels) -> codes; decode: (
    reference, codes) -> pixels; None where it has none. Both speak in arrays of this library's layout. full: the
    reference with its published sizes.
    """

    name: str
    build: Callable[[], torch.nn.Module]
    encode: Callable[[torch.nn.Module, np.ndarray], np.ndarray]
    decode: Callable[[torch.nn.Module, np.ndarray], np.ndarray] | None
    full: Callable[[], torch.nn.Module]

    def reference(self) -> torch.nn.Module:
        """The model in float32, everything that is initialised to a constant moved off it, codes far apart."""
        torch.manual_seed(0)
        model = self.build().float().eval()
        tensors = [*model.parameters(), *(x for x in model.buffers() if x.is_floating_point())]
        with torch.no_grad():
            for weight in tensors:
                if (weight == weight.flatten()[0]).all():
                    weight.add_(0.3 * torch.rand_like(weight))
            latents = self.latents(model)
            codebook = model.quantize.embedding.weight
            codebook.copy_(latents[torch.randint(len(latents), (len(codebook),))] + 0.1 * torch.randn_like(codebook))
        return model

    def latents(self, model: torch.nn.Module) -> torch.Tensor:
        """Latents of random pictures, so that codes among them vary."""
        seen = []
        hook = model.quant_conv.register_forward_hook(lambda module, inputs, output: seen.append(output))
        self.encode(model, np.random.default_rng(1).uniform(-1, 1, (4, 16, 16, 3)).astype(np.float32))
        hook.remove()
        return seen[0].movedim(1, -1).reshape(-1, seen[0].shape[1])

    @property
    def version(self) -> str:
        module = self.build.__globals__["transformers"] if "VQVAE" in self.kind else diffusers
        return f"{module.__name__} {module.__version__}, {self.kind}"

    @property
    def kind(self) -> str:
        return type(self.build()).__name__


def channels_first(pixels: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.moveaxis(pixels, -1, -3).copy())


def channels_last(pixels: torch.Tensor) -> np.ndarray:
    return np.moveaxis(pixels.numpy(), -3, -1)


def encode_transformers(model, pixels):
    codes = model.encode(channels_first(pixels)).image_tokens
    factor = 2 ** (len(model.config.channel_multiplier) - 1)
    return codes.reshape(len(pixels), pixels.shape[1] // factor, -1).numpy()


def decode_janus(model, codes):
    model.quantize.quant_state_dims = codes.shape[1:]  # the reference is built for one size
    return channels_last(model.decode(torch.tensor(codes.reshape(len(codes), -1), dtype=torch.long)))


def encode_emu3(model, pixels):
    sizes = torch.tensor([pixels.shape[-3:-1]] * len(pixels))
    found = model.encode(channels_first(pixels), sizes).image_tokens
    if pixels.ndim == 5:  # the reference crops frames and rows by the picture's size, so that a clip comes out whole
        assert found[0].shape[-2:] == tuple(s // model.vision_spatial_factor for s in pixels.shape[-3:-1])
    return torch.stack(list(found)).numpy()


def decode_emu3(model, codes):
    return channels_last(model.decode(torch.tensor(codes, dtype=torch.long)))


def encode_diffusers(model, pixels):
    latents = model.encode(channels_first(pixels)).latents
    return model.quantize(latents)[2][2].reshape(len(pixels), *latents.shape[2:]).numpy()


def decode_diffusers(model, codes):
    vectors = model.quantize.get_codebook_entry(torch.tensor(codes, dtype=torch.long).flatten(), None)
    vectors = vectors.reshape(*codes.shape, -1).movedim(-1, 1)
    decoded = model.post_quant_conv(vectors)
    return channels_last(model.decoder(decoded, vectors if model.config.norm_type == "spatial" else None))


def chameleon(**options):
    return lambda: transformers.ChameleonVQVAE(transformers.ChameleonVQVAEConfig(**options))


def janus(**options):
    return lambda: JanusVQVAE(transformers.models.janus.configuration_janus.JanusVQVAEConfig(**options))


def emu3(**options):
    return lambda: Emu3VQVAE(transformers.models.emu3.configuration_emu3.Emu3VQVAEConfig(**options))


def vq_model(**options):
    return lambda: diffusers.VQModel(**options)


DEPTH = dict(num_res_blocks=2)
CHAMELEON = SIZES | dict(num_embeddings=50, resolution=16, attn_resolutions=[8])
EMU3 = SIZES | dict(
    codebook_size=50,
    latent_channels=6,
    attn_resolutions=[1],
    hidden_size=64,
    num_attention_heads=2,
    temporal_downsample_factor=4,
)
MOVQ = dict(  # kandinsky-community/kandinsky-2-2-decoder, movq/config.json
    act_fn="silu",
    block_out_channels=(128, 256, 256, 512),
    down_block_types=("DownEncoderBlock2D",) * 3 + ("AttnDownEncoderBlock2D",),
    up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 3,
    latent_channels=4,
    layers_per_block=2,
    norm_type="spatial",
    num_vq_embeddings=16384,
    vq_embed_dim=4,
)
LDM = dict(  # CompVis/ldm-super-resolution-4x-openimages, vqvae/config.json
    block_out_channels=(128, 256, 512),
    down_block_types=("DownEncoderBlock2D",) * 3,
    up_block_types=("UpDecoderBlock2D",) * 3,
    layers_per_block=2,
    latent_channels=3,
    num_vq_embeddings=8192,
)
CASES = [
    Case("chameleon-vq", chameleon(**CHAMELEON), encode_transformers, None, chameleon()),
    Case(
        "chameleon-vq-no-attention",
        chameleon(**CHAMELEON | DEPTH | dict(attn_type=None)),
        encode_transformers,
        None,
        chameleon(attn_type=None),
    ),
    Case("janus-vq", janus(**SIZES, num_embeddings=50), encode_transformers, decode_janus, janus()),
    Case("emu3-vq", emu3(**EMU3), encode_emu3, decode_emu3, emu3()),
    Case("vq-model", vq_model(**DIFFUSERS, vq_embed_dim=6), encode_diffusers, decode_diffusers, vq_model(**LDM)),
    Case(
        "vq-model-no-attention",
        vq_model(**DIFFUSERS | dict(layers_per_block=2, mid_block_add_attention=False)),
        encode_diffusers,
        decode_diffusers,
        vq_model(**LDM | dict(mid_block_add_attention=False)),
    ),
    Case(
        "vq-model-spatial",
        vq_model(**DIFFUSERS, norm_type="spatial"),
        encode_diffusers,
        decode_diffusers,
        vq_model(**MOVQ),
    ),
]
CLIPS = [case for case in CASES if case.name == "emu3-vq"]
