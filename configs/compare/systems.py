r"""The published systems side by side: the tiny variant of each, on the same documents, for as many minutes each.

  for name in janus emu3 llamagen show_o; do
    ujx train --config configs/tokenizer/systems.py:$name --workdir runs/codecs/$name        (their codecs, once)
  done
  ujx compare --config configs/compare/systems.py
  smoke, about two minutes, with codecs of chance:  --config configs/compare/systems.py:debug
  one system by itself:  ujx train --config configs/compare/systems.py:janus --workdir runs/janus

Each does what it does: some read, one draws, some do both, and the last four of the list edit too; a row of the page is
empty where a system has no answer. What is asked comes from one source of scenes; a system that does less sees more of
it. LlamaGen draws by number, and scenes that it was trained on. Codecs of Chameleon, BAGEL and Mogao are of chance, for
the reasons that configs/tokenizer/systems.py gives: what BAGEL and Mogao draw is not to be judged. Expect: not measured
yet.
"""

from pathlib import Path

from configs import bagel, blip2, emu3, fuyu, janus, llamafusion, llamagen, llava, mogao, show_o, transfusion
from configs.chameleon import released
from configs.published import DEBUG, TINY
from configs.tokenizer.systems import CODECS

SYSTEMS = {
    "fuyu": (fuyu, "Fuyu"),
    "llava": (llava, "LLaVA 1.5"),
    "blip2": (blip2, "BLIP-2"),
    "chameleon": (released, "Chameleon as released"),
    "janus": (janus, "Janus-Pro"),
    "emu3": (emu3, "Emu3"),
    "llamagen": (llamagen, "LlamaGen"),
    "show_o": (show_o, "Show-o"),
    "bagel": (bagel, "BAGEL"),
    "mogao": (mogao, "Mogao"),
    "transfusion": (transfusion, "Transfusion"),
    "llamafusion": (llamafusion, "LlamaFusion from chance"),
}
CODEC_RUNS = Path("runs/codecs")


def get_config(arg=None):
    names = arg.split(",") if arg else []
    if unknown := [name for name in names if name not in (*SYSTEMS, DEBUG)]:
        known = ", ".join((*SYSTEMS, DEBUG))
        raise ValueError(f"configs/compare/systems.py: unknown variant {unknown[0]!r}; there are {known}")
    debug = DEBUG in names
    name = next((name for name in names if name in SYSTEMS), next(iter(SYSTEMS)))
    c = SYSTEMS[name][0].get_config(DEBUG if debug else TINY)
    c.system = name
    c.steps, c.minutes = (2, 0.0) if debug else (20_000, 10.0)
    if name in CODECS and not debug:
        c.codec.folder = str(CODEC_RUNS / name / "model")
    compared = ("fuyu", "llamagen") if debug else SYSTEMS
    c.study = dict(
        title="Published systems at a small size",
        note="The same scenes and minutes for all; the systems differ in what they do and in their own ways of it.",
        variants=tuple((name, SYSTEMS[name][1]) for name in compared),
        seeds=(0,),
    )
    return c


def _of_system(part):
    """What the system's own config has of this name."""
    return lambda c, *arguments: getattr(SYSTEMS[c.system][0], part)(c, *arguments)


texts, model, given, objectives, data, benchmarks = map(
    _of_system, ("texts", "model", "given", "objectives", "data", "benchmarks")
)
