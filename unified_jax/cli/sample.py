"""Draw a picture from text, describe or question a picture, edit one, or have a language model answer.

ujx sample --workdir runs/demo --prompt "a large red circle at the top"
ujx sample --workdir runs/demo --image picture.png                             (describe)
ujx sample --workdir runs/demo --image picture.png --prompt "..." --want text  (answer)
ujx sample --workdir runs/demo --image picture.png --prompt "..." --want image (edit)
ujx sample --workdir runs/demo --prompt "..." --want answer                    (texts and pictures, as the model wants)
ujx sample --checkpoint MODEL --prompt "What is the capital of France?"        (answer, of a model of text only)
ujx sample --checkpoint MODEL --chat                                           (talk, a line at a time)
"""

import argparse
import time
from pathlib import Path

import jax

from unified_jax.cli import chat, load
from unified_jax.data.document import Answer, Document, Image, Part, Text
from unified_jax.data.picture import read_picture
from unified_jax.evals.samples import write_document
from unified_jax.sampling.generate import generate_batch
from unified_jax.train.metrics import write_json

SETTINGS = ("steps", "guidance_scale", "temperature", "top_k", "top_p", "max_tokens", "max_images", "block")
WANTS = {"text": Text(target=True), "image": Image(target=True), "answer": Answer()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    load.add_arguments(parser)
    parser.add_argument("--prompt", help="text given to the model")
    parser.add_argument("--image", type=Path, help="picture given to the model, before the text")
    parser.add_argument("--chat", action="store_true", help="answer line after line of standard input")
    parser.add_argument(
        "--want",
        choices=tuple(WANTS),
        help="what to produce (default: text from a picture; from text a picture, if the model draws); "
        "an answer has the texts and pictures that the model decides on",
    )
    parser.add_argument("--out", type=Path, default=Path("samples"), help="folder for pictures and sample.json")
    parser.add_argument("--count", type=int, default=1, help="how many samples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=25, help="solver steps of a picture")
    parser.add_argument("--guidance_scale", type=float, default=1.0)
    parser.add_argument("--temperature", type=float, default=0.0, help="of text; 0 is greedy")
    parser.add_argument("--top_k", type=int, help="text is chosen among so many most probable ids")
    parser.add_argument(
        "--top_p", type=float, help="text is chosen among the most probable ids that make up this share"
    )
    parser.add_argument("--max_tokens", type=int, default=64)
    parser.add_argument("--block", type=int, default=128, help="ids open at a time, of a text that is uncovered")
    parser.add_argument("--max_images", type=int, default=4, help="most pictures of an answer")


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Runs the command; bad input raises ValueError, RuntimeError or OSError."""
    if overrides:
        raise ValueError("sample takes no --config overrides")
    if arguments.count < 1:
        raise ValueError(f"--count must be 1 or more, found {arguments.count}")
    given, rng = _given(arguments), jax.random.key(arguments.seed)
    model, params = load.load(arguments)
    settings = {name: getattr(arguments, name) for name in SETTINGS}
    if arguments.chat:
        talked = chat.converse(model, params, chat.typed(), given=given, rng=rng, **settings)
        write_json(arguments.out / "sample.json", {"conversation": write_document(arguments.out, "chat", talked)})
        return
    draws = arguments.image is None and "image" in model.family.fills
    want = arguments.want or ("image" if draws else "text")
    document = Document([*given, WANTS[want]])
    start = time.perf_counter()
    made = generate_batch(model, params, [document] * arguments.count, rng=rng, **settings)
    seconds = time.perf_counter() - start
    records = []
    for i, result in enumerate(made):
        parts = write_document(arguments.out, f"sample_{i:03d}", Document(result.targets))
        records.append({"output": parts, "seed": arguments.seed, **settings})
        for part in parts:
            print(part.get("text", str(arguments.out / part.get("image", ""))))
    write_json(arguments.out / "sample.json", {"seconds": seconds, "samples": records})


def _given(arguments: argparse.Namespace) -> list[Part]:
    if arguments.prompt is None and arguments.image is None and not arguments.chat:
        raise ValueError("give --prompt, --image, both, or --chat")
    given = [] if arguments.image is None else [Image(read_picture(arguments.image))]
    return given + ([] if arguments.prompt is None else [Text(arguments.prompt)])
