"""Chat with pictures: each stands where the template shows it, and nothing a person writes is taken for one."""

import numpy as np
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers

from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.plan import Span
from unified_jax.models.decoders import chat

SPECIAL = ["<s>", "<image>", "<end>"]
TEMPLATE = (
    "{% for m in messages %}{{ 'user:' if m.role == 'user' else '>' }}{% for part in m.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% if m.role == 'assistant' %}<end>{% endif %}{% endfor %}{% if add_generation_prompt %}>{% endif %}"
)
BLIND = "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}"


def tokenizer(template: str | None) -> ChatTokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.add_special_tokens(SPECIAL)
    return ChatTokenizer(backend, template=template, special={"bos_token": "<s>"})


def spans_of(image: Image) -> list[Span]:
    """As many entries as the picture has values, two to be filled for a blank one."""
    return [Span((("picture", np.zeros(2, np.int32) if image.values is None else image.values),))]


def written(document: list, *, template: str | None = TEMPLATE, start: str = "<s>") -> str:
    """The plan as text, a picture as [its number of entries], what is learned in braces."""
    words = tokenizer(template)
    pictures = chat.Pictures(spans_of, place=words._backend.token_to_id("<image>"), start=start)
    found = []
    for span in chat.writer(words, pictures)(Document(document)):
        ((stream, values),) = span.parts
        if span.fill == "text":
            found.append("?")
        elif stream == "picture":
            found.append(f"[{len(values)}]")
        else:
            text = "".join(words._backend.id_to_token(int(i)).replace("Ġ", " ") for i in values)
            found.append(f"{{{text}}}" if span.learn else text)
    return "".join(found)


def picture(entries: int, *, target: bool = False) -> Image:
    return Image(np.zeros((1, 1, 3), np.uint8), target, np.zeros(entries, np.int32))


def test_pictures_stand_where_the_template_shows_them_in_their_order():
    document = [picture(4), Text("one"), picture(5), Text("two", target=True), picture(6), Text(target=True)]
    assert written(document) == "<s>user:[4]one[5]>{two<end>}user:[6]>?"


def test_a_place_that_a_person_writes_is_no_picture():
    text = written([Text("<image>"), picture(4), Text(target=True)])
    assert text.startswith("<s>user:<image>[4]")


def test_a_blank_picture_ends_the_plan_and_a_drawn_one_stays():
    assert written([Text("draw"), Image(target=True), Text("unseen")]) == "<s>user:draw>[2]"
    drawn = picture(7, target=True)
    assert written([Text("draw"), drawn, Text("why"), Text(target=True)]).startswith("<s>user:draw>[7]")


def test_without_a_template_parts_follow_each_other():
    assert written([Text("a"), picture(3), Text("b"), Text(target=True)], template=None) == "<s>a[3]b?"


def test_a_template_that_hides_a_picture_is_refused():
    with pytest.raises(ValueError, match="shows 0 pictures of a turn of 1"):
        written([picture(3), Text("b"), Text(target=True)], template=BLIND)
