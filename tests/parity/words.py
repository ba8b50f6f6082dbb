"""A tokenizer of numbered words and a chat template, for systems whose processor is compared as a whole."""

import numpy as np
import tokenizers
import transformers
from tokenizers import models, pre_tokenizers

from unified_jax.data.chat import ChatTokenizer

SPECIAL = ("<pad>", "<s>", "</s>", "<image>", "<boi>", "<eoi>", "<wrap>", "<eof>")
WORDS = 110
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %} "
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)


def tokenizer(**named: str) -> transformers.PreTrainedTokenizerFast:
    """named: further special tokens by the name a processor knows them by, image_token="<image>" and the like."""
    vocab = [*SPECIAL, "user", "assistant", ":", *(f"w{i}" for i in range(WORDS))]
    backend = tokenizers.Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocab)}, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    backend.add_special_tokens(list(SPECIAL))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens=named,
        chat_template=TEMPLATE,
    )


def words(seed: int, count: int) -> str:
    """So many words."""
    return " ".join(f"w{i}" for i in np.random.default_rng(seed).integers(1, WORDS, count))


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """uint8 [height width 3]: noise at two scales, so that no resize makes it flat."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (height // 8 + 1, width // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)[:height, :width]
    return (coarse + rng.integers(0, 56, (height, width, 3))).astype(np.uint8)


def chat_tokenizer() -> ChatTokenizer:
    """Ours, of the same words, that names every token a picture may need."""
    backend = tokenizer().backend_tokenizer
    special = {
        "bos_token": "<s>",
        "boi_token": "<boi>",
        "eoi_token": "<eoi>",
        "eof_token": "<eof>",
        "image_wrapper_token": "<wrap>",
    }
    return ChatTokenizer(backend, special=special)
