"""What ``ujx bench`` measures: sizes, and which peers stand against us."""

from collections.abc import Sequence

from unified_jax.bench import generation, pieces, training
from unified_jax.bench.case import Case
from unified_jax.bench.component_cases import codecs, denoisers, encoders
from unified_jax.bench.peers import TRANSFORMERS, TRANSFUSION, peer


def llama(*, width: int, depth: int, hidden: int, vocab: int) -> dict:
    """The ``config.json`` of a small Llama, with nothing that ends a text."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": width,
        "num_hidden_layers": depth,
        "intermediate_size": hidden,
        "num_attention_heads": width // 32,
        "num_key_value_heads": width // 32,
        "vocab_size": vocab,
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "hidden_act": "silu",
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": False,
    }


LLAMAS = {
    "small": llama(width=128, depth=4, hidden=344, vocab=2048),
    "large": llama(width=256, depth=6, hidden=688, vocab=4096),
}
ROWS = {"small": 16, "large": 64}
BODY = dict(width=192, depth=4, num_heads=6, hidden=512, unroll=4)
EULER = "pictures: 16 Euler steps without guidance on both sides; texts are given"


def cases(bench: str) -> Sequence[Case]:
    """The cases of one of ``BENCHES``, all sizes."""
    return BENCHES[bench]()


def _decoder() -> list[Case]:
    peers = [
        peer("PyTorch eager", "llama.py", "train_eager", TRANSFORMERS),
        peer("torch.compile", "llama.py", "train_compiled", TRANSFORMERS),
    ]
    note = (
        "forward, backward, clipping and AdamW from the same weights; the third loss agrees; ours also keeps an average"
    )
    dense = [
        Case(
            name=f"decoder:train {size}",
            size=size,
            ours=training.text,
            peers=peers,
            arguments=dict(config=config, rows=ROWS[size], length=96),
            tolerance=1e-3,
            note=note,
        )
        for size, config in LLAMAS.items()
    ]
    interleaved = Case(
        name="decoder:train interleaved",
        size="large",
        ours=training.interleaved,
        peers=[peer("transfusion-pytorch", "transfusion.py", "train", TRANSFUSION)],
        arguments=dict(body=BODY, documents=64, text_ids=10, grid=4),
        note="64 documents of 10 text ids and 16 latents of 48 numbers; width, depth, heads and feed-forward are equal",
    )
    return [*dense, interleaved]


def _generate() -> list[Case]:
    written = [
        Case(
            name=f"generate:text {size} batch {rows}",
            size=size,
            ours=generation.text,
            peers=[peer("transformers generate", "llama.py", "generate", TRANSFORMERS)],
            arguments=dict(config=config, rows=rows, prompt=32, new=128),
            tokens=128 * rows,
            tolerance=0.0,
            note="greedy with a KV cache, 128 new ids after 32, float32; the ids are identical",
        )
        for size, config in LLAMAS.items()
        for rows in (1, 8)
    ]
    drawn = Case(
        name="generate:interleaved",
        size="large",
        ours=generation.interleaved,
        peers=[peer("transfusion-pytorch", "transfusion.py", "sample", TRANSFUSION)],
        arguments=dict(body=BODY, text_ids=7, grid=4, steps=16),
        note=f"one document of two texts and two 16-slot pictures; {EULER}",
    )
    return [*written, drawn]


def _attention() -> list[Case]:
    sides = {"reference": pieces.reference_attention, "chunked": pieces.chunked_attention}
    return [
        Case(
            name=f"attention:{name} {length}",
            size=size,
            ours=ours,
            peers=[peer("PyTorch SDPA", "attention.py", "attention", {"torch": "torch"})],
            arguments=dict(length=length, heads=4, channels=64, text=64, picture=192),
            tolerance=1e-4,
            note="forward and backward over one packed row of texts and pictures; SDPA is given the mask as an array",
        )
        for size, length in (("small", 1024), ("large", 4096))
        for name, ours in sides.items()
    ]


def _moe() -> list[Case]:
    return [
        Case(
            name=f"moe:experts {size}",
            size=size,
            ours=pieces.experts,
            peers=[peer("transformers Mixtral block", "mixtral.py", "experts", TRANSFORMERS)],
            arguments=dict(width=width, hidden=2 * width, num_experts=8, top_k=2, rows=rows, length=96),
            tolerance=1e-4,
            note="8 experts, 2 for each token, forward and backward from the same weights; the results agree",
        )
        for size, width, rows in (("small", 128, 16), ("large", 256, 64))
    ]


BENCHES = {
    "decoder": _decoder,
    "attention": _attention,
    "moe": _moe,
    "codec": codecs,
    "encoder": encoders,
    "denoiser": denoisers,
    "generate": _generate,
}
