"""What the files of Show-o2 call its parameters (github.com/showlab/Show-o, ``show-o2/models``)."""

import dataclasses
from collections.abc import Iterable, Iterator

from unified_jax.interop.pairs import dense, layer, norm, renamed, under
from unified_jax.interop.rules import Copy, Rule
from unified_jax.models.decoders import llama
from unified_jax.models.decoders.causal_lm import TextSide
from unified_jax.models.encoders import transformer
from unified_jax.models.published import Component

STEMS = ("pytorch_model", "vae/diffusion_pytorch_model")


def rules(words: TextSide, vae: Component, *, tied: bool) -> Iterator[Rule | Copy]:
    """tied: whether the head is the table of words, which the files hold twice."""
    yield from under(f"{STEMS[1]}.", vae.published.rules, path="codec/")
    own = renamed(words.rules, {"model.": "showo.model.", "lm_head.": "showo.lm_head."})
    own = _moved(own, {"backbone/": "backbone/stack/", "heads_text/": "heads_text/head/"})
    yield from under(f"{STEMS[0]}.", (*own, *_read(), *_flow()))
    if tied:
        name = f"{STEMS[0]}.showo."
        yield Copy(f"{name}lm_head.weight", f"{name}model.embed_tokens.weight")


def _moved(rules: Iterable[Rule], paths: dict[str, str]) -> Iterator[Rule]:
    """The same rules where parameters lie elsewhere. paths: what they begin with, and what comes instead."""
    for rule in rules:
        found = rule.paths
        for begin, other in paths.items():
            found = tuple(other + x.removeprefix(begin) if x.startswith(begin) else x for x in found)
        yield dataclasses.replace(rule, path=found)


def _read() -> Iterator[Rule]:
    """Of what pictures are read with."""
    reads, patch = "embed_image", "d c p q -> p q c d"
    yield from layer("image_embedder_und.proj", f"{reads}/patch_seen", patch)
    yield from layer("image_embedder_gen.proj", f"{reads}/patch_plain", patch)
    yield Rule("position_embedding.weight", f"{reads}/place", "(r c) d -> r c d")
    yield from _moved(renamed(transformer.LAYERS, {"encoder.": "und_trans."}), {"stack/": f"{reads}/stack/"})
    yield from norm("fusion_proj.0", f"{reads}/fuse/norm")
    yield from dense("fusion_proj.1", f"{reads}/fuse/layer_0")
    yield from dense("fusion_proj.3", f"{reads}/fuse/out")
    yield from dense("time_embed.mlp.0", f"{reads}/clock/mlp/up")
    yield from dense("time_embed.mlp.2", f"{reads}/clock/mlp/down")
    yield from dense("time_embed_proj", f"{reads}/time")


def _flow() -> Iterator[Rule]:
    """Of the flow head."""
    yield from dense("diff_proj.0", "backbone/connector/layer_0")
    yield from dense("diff_proj.2", "backbone/connector/out")
    name, path = r"diffusion_head_a.(\d+)", "backbone/then/layer"
    pieces = renamed((*llama.ATTENTION, *llama.MLP), {llama.LAYER: name})
    yield from _moved(pieces, {"backbone/layer": path})
    norms = [f"{path}/{place}_norm_main" for place in ("attn", "mlp")]
    for one, own in zip(("input_layernorm", "post_attention_layernorm"), norms):
        yield Rule(f"{name}.{one}.weight", f"{own}/norm/scale")
    kernels, biases = (tuple(f"{own}/modulation/{kind}" for own in norms) for kind in ("kernel", "bias"))
    yield Rule(f"{name}.adaLN_modulation.1.weight", kernels, "(two three d) e -> two e three d")
    yield Rule(f"{name}.adaLN_modulation.1.bias", biases, "(two three d) -> two three d")
    name, path = "diffusion_head_b", "heads_image/head"
    yield Rule(f"{name}.norm_final.weight", f"{path}/norm/norm/scale")
    yield Rule(f"{name}.adaLN_modulation.1.weight", f"{path}/norm/modulation/kernel", "(two d) e -> e two d")
    yield Rule(f"{name}.adaLN_modulation.1.bias", f"{path}/norm/modulation/bias", "(two d) -> two d")
    yield from dense(f"{name}.linear", f"{path}/out")
