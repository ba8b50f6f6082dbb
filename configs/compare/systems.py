r"""The published systems side by side: the tiny variant of each, on the same documents, for as many minutes each.

  for name in janus emu3 llamagen show_o mmada var janusflow show_o2 bagel; do
    ujx train --config configs/tokenizer/systems.py:$name --workdir runs/codecs/$name        (their codecs, once)
  done
  ujx compare --config configs/compare/systems.py
  smoke, about two minutes, with codecs of chance:  --config configs/compare/systems.py:debug
  one system by itself:  ujx train --config configs/compare/systems.py:janus --workdir runs/janus

Each does what it does: some read, two draw, some do both, and those at the list's end edit too; a row of the page is
empty where a system has no answer. What is asked comes from one source of scenes; a system that does less sees more of
it. LlamaGen and VAR draw by number, and scenes that they were trained on. The codec of Chameleon is of chance, for the
reason that configs/tokenizer/systems.py gives, and that of UniPic. Expect: not measured yet.
"""

from pathlib import Path

from configs import (
    bagel,
    blip2,
    emu3,
    fuyu,
    janus,
    janusflow,
    llamafusion,
    llamagen,
    llava,
    llava_onevision,
    mmada,
    mogao,
    qwen2_5_vl,
    show_o,
    show_o2,
    transfusion,
    unipic,
    var,
)
from configs.chameleon import released
from configs.published import DEBUG, TINY
from configs.tokenizer.systems import CODECS

SYSTEMS = {
    "fuyu": (fuyu, "Fuyu"),
    "llava": (llava, "LLaVA 1.5"),
    "llava_onevision": (llava_onevision, "LLaVA-OneVision"),
    "qwen2_5_vl": (qwen2_5_vl, "Qwen2.5-VL"),
    "blip2": (blip2, "BLIP-2"),
    "chameleon": (released, "Chameleon as released"),
    "janus": (janus, "Janus-Pro"),
    "emu3": (emu3, "Emu3"),
    "janusflow": (janusflow, "JanusFlow"),
    "llamagen": (llamagen, "LlamaGen"),
    "var": (var, "VAR"),
    "show_o": (show_o, "Show-o"),
    "mmada": (mmada, "MMaDA"),
    "unipic": (unipic, "UniPic"),
    "show_o2": (show_o2, "Show-o2"),
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
