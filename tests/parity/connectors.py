"""The connectors that are compared: with transformers where it has one, otherwise with one written here from its paper,
place by place, on torch's own layers.
"""

import dataclasses
import math
import types
from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import torch
import transformers
from torch.nn import functional as F
from transformers.models.idefics2.modeling_idefics2 import Idefics2PerceiverResampler
from transformers.models.idefics3.modeling_idefics3 import Idefics3Connector
from transformers.models.internvl.modeling_internvl import InternVLModel, InternVLMultiModalProjector
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector
from transformers.models.qwen2_vl.modeling_qwen2_vl import PatchMerger

from unified_jax.interop.pairs import dense, heads, norm, out, under
from unified_jax.interop.rules import Rule
from unified_jax.models.encoders.blip2 import qformer_rules
from unified_jax.nn.connectors.abstractor import CAbstractor, Stc
from unified_jax.nn.connectors.perceiver import Perceiver
from unified_jax.nn.connectors.pooling import AveragePool, BilinearPool, PixelShuffle
from unified_jax.nn.connectors.projection import Projection
from unified_jax.nn.connectors.q_former import QFormer, QFormerStack
from unified_jax.nn.connectors.resampler import Resampler
from unified_jax.nn.connectors.token_packer import TokenPacker
from unified_jax.nn.cross_attention import CrossAttention
from unified_jax.nn.mlp import GatedMlp, Mlp, gelu
from unified_jax.nn.norm import LayerNorm, RMSNorm

IN, OUT = 12, 20


@dataclasses.dataclass(frozen=True)
class Case:
    """reference: of torch, called with (x, grid). rules: from its names. grids: two of unequal sizes."""

    name: str
    ours: nn.Module
    reference: Callable[[], torch.nn.Module]
    rules: Sequence[Rule]
    grids: Sequence[tuple[int, ...]]
    what: str


class Reference(torch.nn.Module):
    """Layers by name, and what is done with them: (layers, x, grid) -> states."""

    def __init__(self, forward: Callable, **layers: torch.nn.Module):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.run = forward

    def forward(self, x, grid):
        return self.run(self, x, grid)


def side_by_side(x, grid, size):
    """The places of each block of size x size, in loops: [B N P D]."""
    y = x.view(len(x), *grid, -1)
    blocks = [
        torch.stack([y[:, r + i, c + j] for i in range(size) for j in range(size)], 1)
        for r in range(0, grid[0], size)
        for c in range(0, grid[1], size)
    ]
    return torch.stack(blocks, 1)


def configs(**vision):
    return types.SimpleNamespace(
        vision_config=types.SimpleNamespace(hidden_size=IN, **vision),
        text_config=types.SimpleNamespace(hidden_size=OUT),
        vision_feature_layer=-2,
        multimodal_projector_bias=True,
        projector_hidden_act="gelu",
        scale_factor=2,
        downsample_ratio=0.5,
    )


def internvl():
    shuffle = lambda x, grid: InternVLModel.pixel_shuffle(None, x.view(len(x), *grid, IN), scale_factor=0.5)
    run = lambda self, x, grid: self.project(shuffle(x, grid).flatten(1, 2))
    return Reference(run, project=InternVLMultiModalProjector(configs()))


def qwen2_vl():
    run = lambda self, x, grid: self.merge(side_by_side(x, grid, 2)).view(len(x), -1, OUT)
    return Reference(run, merge=PatchMerger(OUT, IN))


def onevision():
    def run(self, x, grid):
        channels_first = x.view(len(x), *grid, IN).permute(0, 3, 1, 2)
        size = [math.ceil(side / 2) for side in grid]
        return self.project(F.interpolate(channels_first, size=size, mode="bilinear").flatten(2).transpose(1, 2))

    return Reference(run, project=torch.nn.Linear(IN, OUT))


def idefics2():
    config = transformers.models.idefics2.configuration_idefics2.Idefics2PerceiverConfig(
        hidden_size=OUT,
        resampler_n_latents=5,
        resampler_depth=3,
        resampler_n_heads=4,
        resampler_head_dim=6,
        num_key_value_heads=2,
    )

    def run(self, x, grid):
        mask = torch.ones(x.shape[:2], dtype=torch.long)
        return self.perceiver(context=self.project(x), attention_mask=mask)

    perceiver = Idefics2PerceiverResampler(config)
    return Reference(run, project=torch.nn.Linear(IN, OUT), perceiver=perceiver)


def q_former():
    config = transformers.Blip2QFormerConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=4, num_attention_heads=4, encoder_hidden_size=IN
    )

    def run(self, x, grid):
        queries = self.queries.weight.expand(len(x), -1, -1)
        read = self.body(query_embeds=queries, encoder_hidden_states=x)
        return self.project(read.last_hidden_state)

    body = transformers.Blip2QFormerModel(config)
    return Reference(run, queries=torch.nn.Embedding(7, 16), body=body, project=torch.nn.Linear(16, OUT))


def waves(side, width):
    """The table of places, number by number: a quarter each of sin column, cos column, sin row, cos row."""
    quarter = width // 4
    table = torch.zeros(side, side, width)
    for row in range(side):
        for column in range(side):
            for i in range(quarter):
                rate = 10_000 ** (-i / quarter)
                values = math.sin(column * rate), math.cos(column * rate), math.sin(row * rate), math.cos(row * rate)
                for part, value in enumerate(values):
                    table[row, column, part * quarter + i] = value
    return table


def qwen_vl():
    def run(self, x, grid):
        table = waves(3, OUT)
        keys = self.context_norm(getattr(self, "in")(x))
        resized = F.interpolate(table.permute(2, 0, 1)[None], size=grid, mode="bicubic", align_corners=False)
        queries = self.query_norm(self.queries.weight) + table.view(-1, OUT)
        queries = queries.expand(len(x), -1, -1)
        y, _ = self.attention(queries, keys + resized[0].flatten(1).T, keys)
        return self.out(self.norm(y))

    linear = partial(torch.nn.Linear, bias=False)
    norms = {name: torch.nn.LayerNorm(OUT, eps=1e-6) for name in ("context_norm", "query_norm", "norm")}
    attention = torch.nn.MultiheadAttention(OUT, 4, batch_first=True)
    layers = {"in": linear(IN, OUT), "out": linear(OUT, OUT), "queries": torch.nn.Embedding(9, OUT)}
    return Reference(run, attention=attention, **layers, **norms)


def token_packer():
    def run(self, x, grid):
        channels_first = x.view(len(x), *grid, IN).permute(0, 3, 1, 2)
        small = F.interpolate(channels_first, size=[side // 2 for side in grid], mode="bilinear")
        q = self.q_norm(self.q(small.flatten(2).transpose(1, 2)))
        k, v = self.k_norm(self.k(x)), self.v_norm(self.v(x))
        k, v = side_by_side(k, grid, 2), side_by_side(v, grid, 2)
        read = [self.attention(q[:, i : i + 1], k[:, i], v[:, i])[0] for i in range(q.shape[1])]
        return self.project(torch.cat(read, 1))

    fine = lambda: torch.nn.Sequential(torch.nn.Linear(IN, 16), torch.nn.GELU(), torch.nn.Linear(16, 16))
    norms = {f"{name}_norm": torch.nn.LayerNorm(16, eps=1e-6) for name in "qkv"}
    attention = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    q = torch.nn.Linear(IN, 16, bias=False)
    return Reference(run, q=q, k=fine(), v=fine(), attention=attention, project=torch.nn.Linear(16, OUT), **norms)


class ChannelNorm(torch.nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class RegBlock(torch.nn.Module):
    """RegNetY's block with a group for every channel, on channels-first pictures."""

    def __init__(self, before, after):
        super().__init__()
        conv = partial(torch.nn.Conv2d, bias=False)
        self.first, self.last = conv(before, after, 1), conv(after, after, 1)
        self.depthwise = conv(after, after, 3, padding=1, groups=after)
        self.down = torch.nn.Conv2d(after, round(before / 4), 1)
        self.up = torch.nn.Conv2d(round(before / 4), after, 1)
        self.first_norm, self.depthwise_norm, self.last_norm = (ChannelNorm(after, eps=1e-6) for _ in range(3))
        if before != after:
            self.shortcut, self.shortcut_norm = conv(before, after, 1), ChannelNorm(after, eps=1e-6)

    def forward(self, x):
        y = F.silu(self.first_norm(self.first(x)))
        y = F.silu(self.depthwise_norm(self.depthwise(y)))
        y = y * torch.sigmoid(self.up(F.silu(self.down(F.adaptive_avg_pool2d(y, 1)))))
        y = self.last_norm(self.last(y))
        return F.silu(y + (self.shortcut_norm(self.shortcut(x)) if hasattr(self, "shortcut") else x))


def stages():
    stage = lambda before: torch.nn.Sequential(RegBlock(before, 16), RegBlock(16, 16))
    return dict(before=stage(IN), after=stage(16), project=torch.nn.Linear(16, OUT))


def c_abstractor():
    def run(self, x, grid):
        y = self.before(x.view(len(x), *grid, IN).permute(0, 3, 1, 2))
        y = self.after(F.adaptive_avg_pool2d(y, [side // 2 for side in grid]))
        return self.project(y.flatten(2).transpose(1, 2))

    return Reference(run, **stages())


def stc():
    def run(self, x, grid):
        frames = x.view(-1, *grid[1:], IN).permute(0, 3, 1, 2)
        y = self.before(frames).view(len(x), grid[0], 16, *grid[1:]).transpose(1, 2)
        y = F.silu(self.sample(y)).transpose(1, 2)
        y = self.after(y.flatten(0, 1))
        return self.project(y.flatten(2).transpose(1, 2).reshape(len(x), -1, 16))

    return Reference(run, sample=torch.nn.Conv3d(16, 16, 2, stride=2, padding=1), **stages())


def in_one(name, path):
    """torch.nn.MultiheadAttention."""
    parts = [f"{path}/{x}" for x in "qkv"]
    return (
        Rule(f"{name}.in_proj_weight", tuple(f"{x}/kernel" for x in parts), "(three h c) d -> three d h c"),
        Rule(f"{name}.in_proj_bias", tuple(f"{x}/bias" for x in parts), "(three h c) -> three h c"),
        *out(f"{name}.out_proj", f"{path}/o"),
    )


def reg_stages():
    rules = []
    for stage in ("before", "after"):
        for i in range(2):
            theirs, ours = f"{stage}.{i}", f"{stage}/block_{i}"
            one = [("first", "first"), ("last", "last"), ("shortcut", "shortcut")]
            one += [("down", "excite/down"), ("up", "excite/up")]
            for name, path in one:
                rules.append(Rule(f"{theirs}.{name}.weight", f"{ours}/{path}/kernel", "f d 1 1 -> d f"))
                rules.append(Rule(f"{theirs}.{name}.bias", f"{ours}/{path}/bias"))
            rules.append(Rule(f"{theirs}.depthwise.weight", f"{ours}/depthwise/kernel", "f 1 h w -> h w 1 f"))
            for name in ("first", "depthwise", "last", "shortcut"):
                rules += norm(f"{theirs}.{name}_norm", f"{ours}/{name}_norm")
    return (*rules, *dense("project", "then/out"))


PERCEIVER = r"perceiver.layers.(\d+)"
IDEFICS2 = (
    *dense("project", "before/out"),
    Rule("perceiver.latents", "latents"),
    *norm(f"{PERCEIVER}.input_latents_norm", "layer/attention_norm"),
    *norm(f"{PERCEIVER}.input_context_norm", "layer/context_norm"),
    *norm(f"{PERCEIVER}.post_attention_layernorm", "layer/mlp_norm"),
    *(rule for x in "qkv" for rule in heads(f"{PERCEIVER}.self_attn.{x}_proj", f"layer/attention/{x}")),
    *out(f"{PERCEIVER}.self_attn.o_proj", "layer/attention/o"),
    *(rule for x in ("gate", "up", "down") for rule in dense(f"{PERCEIVER}.mlp.{x}_proj", f"layer/mlp/{x}")),
    *norm("perceiver.norm", "norm"),
)
QWEN_VL = (
    *dense("in", "in"),
    *dense("out", "out"),
    Rule("queries.weight", "queries"),
    *in_one("attention", "attention"),
    *(rule for x in ("context_norm", "query_norm", "norm") for rule in norm(x, x)),
)
TOKEN_PACKER = (
    *dense("q", "q"),
    *(rule for x in "kv" for i, path in ((0, "layer_0"), (2, "out")) for rule in dense(f"{x}.{i}", f"{x}/{path}")),
    *(rule for x in "qkv" for rule in norm(f"{x}_norm", f"{x}_norm")),
    *in_one("attention", "attention"),
    *dense("project", "then/out"),
)
LAYER_NORM = partial(LayerNorm, 1e-6)
PROJECT = Projection(OUT)
FLAT, VIDEO = [(4, 4), (6, 2)], [(4, 4, 2), (3, 5, 6)]
PACKAGED = f"transformers {transformers.__version__}, "
WRITTEN = f"torch {torch.__version__}, from the paper"

CASES = [
    Case(
        "linear",
        PROJECT,
        lambda: Reference(lambda self, x, grid: self.project(x), project=torch.nn.Linear(IN, OUT)),
        dense("project", "out"),
        FLAT,
        WRITTEN,
    ),
    Case(
        "mlp",
        Projection(OUT, hidden=(OUT,)),
        lambda: Reference(lambda self, x, grid: self.project(x), project=LlavaMultiModalProjector(configs())),
        (*dense("project.linear_1", "layer_0"), *dense("project.linear_2", "out")),
        FLAT,
        PACKAGED + "LlavaMultiModalProjector",
    ),
    Case(
        "average-pool",
        AveragePool(2, then=PROJECT),
        lambda: Reference(
            lambda self, x, grid: self.project(side_by_side(x, grid, 2).mean(2)), project=torch.nn.Linear(IN, OUT)
        ),
        dense("project", "then/out"),
        FLAT,
        WRITTEN,
    ),
    Case(
        "bilinear-pool",
        BilinearPool(2, then=PROJECT),
        onevision,
        dense("project", "then/out"),
        [(4, 4), (7, 5)],
        f"torch {torch.__version__}, interpolate",
    ),
    Case(
        "pixel-shuffle-mlp",
        PixelShuffle(2, then=Projection(OUT, hidden=(OUT,), norm=partial(LayerNorm, 1e-5))),
        internvl,
        (
            *norm("project.layer_norm", "then/norm"),
            *dense("project.linear_1", "then/layer_0"),
            *dense("project.linear_2", "then/out"),
        ),
        FLAT,
        PACKAGED + "InternVLMultiModalProjector",
    ),
    Case(
        "pixel-shuffle-linear",
        PixelShuffle(2, then=Projection(OUT, use_bias=False)),
        lambda: Reference(lambda self, x, grid: self.connect(x), connect=Idefics3Connector(configs())),
        dense("connect.modality_projection.proj", "then/out"),
        [(4, 4), (6, 6)],
        PACKAGED + "Idefics3Connector",
    ),
    Case(
        "patch-merger",
        PixelShuffle(2, norm=LAYER_NORM, then=Projection(OUT, hidden=(4 * IN,))),
        qwen2_vl,
        (*norm("merge.ln_q", "norm"), *dense("merge.mlp.0", "then/layer_0"), *dense("merge.mlp.2", "then/out")),
        FLAT,
        PACKAGED + "PatchMerger of Qwen2-VL",
    ),
    Case(
        "perceiver",
        Perceiver(
            5,
            3,
            attention=partial(CrossAttention, 4, 6, num_kv_heads=2, qkv_bias=False, out_bias=False),
            mlp=partial(GatedMlp, 4 * OUT),
            norm=RMSNorm,
            before=PROJECT,
        ),
        idefics2,
        IDEFICS2,
        FLAT,
        PACKAGED + "Idefics2PerceiverResampler",
    ),
    Case(
        "q-former",
        QFormer(
            7,
            16,
            OUT,
            body=QFormerStack(
                4,
                2,
                attention=partial(CrossAttention, 4, 4),
                mlp=partial(Mlp, 24, gelu),
                norm=partial(LayerNorm, 1e-12),
            ),
        ),
        q_former,
        (
            *under("body.", qformer_rules(4, 2, ours="body/")),
            Rule("queries.weight", "queries"),
            *dense("project", "out"),
        ),
        FLAT,
        PACKAGED + "Blip2QFormerModel",
    ),
    Case("resampler", Resampler(3, OUT, 4, norm=LAYER_NORM), qwen_vl, QWEN_VL, FLAT, WRITTEN),
    Case("c-abstractor", CAbstractor(2, 16, 2, then=PROJECT), c_abstractor, reg_stages(), FLAT, WRITTEN),
    Case(
        "token-packer",
        TokenPacker(2, 16, 4, norm=LAYER_NORM, then=PROJECT),
        token_packer,
        TOKEN_PACKER,
        FLAT,
        WRITTEN,
    ),
    Case(
        "stc",
        Stc(2, 16, then=PROJECT),
        stc,
        (
            *reg_stages(),
            Rule("sample.weight", "kernel", "o i t h w -> t h w i o"),
            Rule("sample.bias", "bias"),
        ),
        VIDEO,
        WRITTEN,
    ),
]
