r"""Fine-tuning of any checkpoint on your own documents.

  ujx train --config configs/finetune/documents.py --workdir runs/mine \
    --config.checkpoint=llava-1.5-7b-hf --config.documents=mine.jsonl
  adapters instead of all parameters:   --config configs/finetune/documents.py:lora
  smoke, without files of your own:     --config configs/finetune/documents.py:debug

checkpoint   a folder or .gguf file, of any system or language model that ``from_pretrained`` reads, or of this library
documents    FILE.jsonl, FILE.parquet, FILE.tar, or a pattern in quotes ("data/*.tar")
held_out     files like these to score on; or a share of ``documents`` in ``held_out_share``

A line of JSON is {"parts": [{"image": "cat.png"}, {"text": "What is it?"}, {"text": "A cat.", "target": true}]}, with
paths from the file's folder; what has target true is learned, texts and, where the system draws, pictures. LLaVA's
"conversations" are read too. Of tables, and of archives, ``parts`` says which columns or endings to read, and what to
say between them:  --config.parts="({'image': 'jpg'}, {'say': 'What is it?'}, {'text': 'txt', 'target': True})"

What is trained: everything; less what ``optimizer.freeze`` names (a regex of paths, "embed_vision/encoder/.*" the
encoder of LLaVA); or, where ``lora.pattern`` or ``lora.whole`` names something, adapters of rank ``lora.rank`` of the
one and the other itself ("embed_vision/connector/.*"), all else staying as it is. The run leaves ``model/``, the
checkpoint in the layout it came in with the adapters merged, and ``adapters/``, those alone. A codec always stays.

The shape of packed rows is measured on the first ``sample`` documents unless ``packing.layouts`` gives it; documents
that do not fit are left out with a warning. example/ has five documents and a random model of 26,784 parameters.
"""

from pathlib import Path

from configs import common
from unified_jax.data.document import Text
from unified_jax.data.fit import fitted
from unified_jax.data.guard import Guard
from unified_jax.data.sources.documents import Documents
from unified_jax.data.sources.example import DocumentFrom, ImageFrom, TextFrom
from unified_jax.data.sources.formats import open_records
from unified_jax.evals import told
from unified_jax.models.pretrained import open_pretrained
from unified_jax.objectives.flow import Flow
from unified_jax.objectives.masked import Masked
from unified_jax.objectives.next_token import NextToken
from unified_jax.sampling.confidence import Confident
from unified_jax.sampling.fill import Autoregress, Integrate, Refine
from unified_jax.train.sharding import make_mesh, placed

EXAMPLE = Path(__file__).with_name("example")
LANGUAGE_MODEL = r"backbone/layer/.*kernel"


def get_config(arg=None):
    c = common.base()
    c.checkpoint, c.documents, c.parts = "", "", ()
    c.held_out, c.held_out_share = "", 0.0
    c.dtype, c.attention = "float32", ""  # bfloat16, and "auto", on an accelerator
    c.optimizer = common.adamw(1e-5)
    c.optimizer.freeze = "codec/.*"
    c.lora = dict(pattern="", rank=8, alpha=16.0, whole="")
    c.packing.rows, c.packing.null_rate = 4, 0.0
    c.packing.documents = 2  # in each row, of the largest size
    c.sample = 64
    c.test_size = 32
    variants = arg.split(",") if arg else []
    if unknown := [variant for variant in variants if variant not in ("lora", "debug")]:
        raise ValueError(f"configs/finetune/documents.py: unknown variant {unknown[0]!r}; there are 'lora' and 'debug'")
    if "lora" in variants:
        c.lora.pattern = LANGUAGE_MODEL
        c.optimizer.learning_rate = 2e-4
    if "debug" in variants:
        c.checkpoint, c.documents = str(EXAMPLE / "model"), str(EXAMPLE / "documents.jsonl")
        c.held_out = c.documents
        c.packing.rows = 8
        c.steps, c.log_every, c.optimizer.warmup, c.optimizer.learning_rate = 4, 1, 0, 1e-2
    return c


def opened(c):
    if not c.checkpoint:
        raise ValueError("which model? --config.checkpoint=FOLDER, as published or of this library, or a .gguf file")
    return open_pretrained(c.checkpoint, dtype=c.dtype, **({"attention": c.attention} if c.attention else {}))


def model(c, tokenizer):
    return opened(c).model


def given(c, model):
    return opened(c).read(lambda shapes: placed(shapes, make_mesh(dict(c.mesh))))


def layouts(c, model, given):
    if c.packing.layouts:
        return c.packing.layouts
    source, family = Guard(data(c), limit=c.bad_records, check=model.family.check), model.family
    documents = [source[i] for i in range(min(c.sample, len(source)))]
    plans = [family.write(document) for document in family.encode(documents, given)]
    layout = fitted(plans, family.streams, documents=c.packing.documents, smallest=family.smallest)
    return ({"lanes": layout.capacity, "streams": layout.room},)


def objectives(c):
    """What trains a stream follows from how it is generated."""
    found = {}
    for name, fill in opened(c).model.family.fills.items():
        if isinstance(fill, Autoregress):
            found[fill.stream] = NextToken(fill.stream)
        elif isinstance(fill, Integrate):
            found[fill.stream] = Flow(fill.stream, path=fill.path)
        elif isinstance(fill, Refine) and isinstance(fill.process, Confident):
            found[fill.stream] = Masked(fill.stream, fill.process.mask, ratio=fill.process.ratio)
        else:
            raise ValueError(
                f"{c.checkpoint}: its {name}s are filled by {type(fill).__name__}, not tuned by this config"
            )
    return tuple(found.values())


def documents(c, path, **options):
    if not path:
        raise ValueError("which documents? --config.documents=FILE.jsonl, FILE.parquet or FILE.tar, or a pattern")
    records = open_records(path)
    to_document = DocumentFrom([part_from(part, records.folder) for part in c.parts]) if c.parts else None
    return Documents(records, to_document, **options)


def part_from(part, folder):
    """{"image": column}, {"text": column} or {"say": words}, each with "target" where it is learned."""
    target = part.get("target", False)
    if "say" in part:
        return Text(part["say"], target=target)
    if "image" in part:
        return ImageFrom(part["image"], target=target, folder=folder)
    if "text" not in part:
        raise ValueError(f"parts: {dict(part)} has none of image, text and say")
    return TextFrom(part["text"], target=target)


def data(c):
    return documents(c, c.documents, shuffle=c.seed, split="train", held_out=c.held_out_share)


def benchmarks(c):
    if c.held_out:
        source = documents(c, c.held_out)
    elif c.held_out_share:
        source = documents(c, c.documents, split="held_out", held_out=c.held_out_share)
    else:
        return ()
    source = Guard(source, limit=c.bad_records)
    return (told.benchmark("nats_held_out", "nats for each id of held-out documents", source, n=c.test_size),)
