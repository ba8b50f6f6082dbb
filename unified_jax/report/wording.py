"""Names and numbers as a reader wants to see them."""

import math
from typing import Any

_LABELS = {
    "caption_exact": "Captions exactly right",
    "caption_exact_two": "Captions of two objects exactly right",
    "image_exact": "Drawings exactly right",
    "image_exact_two": "Drawings of two objects exactly right",
    "answer_exact": "Answers exactly right",
    "answer_exact_two": "Answers about two objects exactly right",
    "edit_exact": "Edits exactly right",
    "retrieved_seen": "Drawings nearest to their own original of all, seen emoji",
    "retrieved_new": "Drawings nearest to their own original of all, new combinations",
    "name_seen": "Names right to the letter, seen emoji",
    "name_new": "Names right to the letter, new combinations",
    "edit_retrieved": "Edits nearest to the true result of all pictures",
    "copied_1": "Copies of one object read right",
    "copied_2": "Copies of two objects read right",
    "copied_3": "Copies of three objects read right",
    "copied_4": "Copies of four objects read right",
    "copied_1_new": "Copies of one object read right, new combinations",
    "copied_2_new": "Copies of two objects read right, new combinations",
    "drawn_new": "Drawings exactly right, new combinations",
    "drawn_seen": "Drawings exactly right, combinations trained on",
    "nats_held_out": "Nats for each id of held-out documents, fewer is better",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "st-lpips-alex": "ST-LPIPS (AlexNet), less is nearer",
    "st-lpips-vgg": "ST-LPIPS (VGG-16), less is nearer",
    "nearest": "VQ",
    "moving": "EMA-VQ",
    "lookup_free": "LFQ",
    "scalar": "FSQ",
    "gaussian": "KL",
    "codes/usage": "Share of the codes in use",
    "codes/perplexity": "Perplexity of the codes",
    "loss": "Total loss",
    "mfu": "Model FLOPs utilization",
}
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def label(name: str) -> str:
    """A heading for the key `name`: a known phrase, otherwise its words."""
    words = name.replace("_", " ").replace("/", ": ").strip()
    return _LABELS.get(name, words[:1].upper() + words[1:])


def percent(fraction: float, digits: int = 1) -> str:
    """`0.934` as `93.4%`; a dash when unknown."""
    return f"{100 * fraction:.{digits}f}%" if math.isfinite(fraction) else "–"


def quantity(value: float) -> str:
    """`2_100_000` as `2.1M`: three significant digits and a unit."""
    if not math.isfinite(value):
        return "–"
    for size, unit in _UNITS:
        if abs(value) >= 0.9995 * size:
            return f"{float(f'{value / size:.3g}'):g}{unit}"
    return f"{value:.3g}"


def brief(value: float) -> str:
    """A headline figure: in full while it is short."""
    return plain(value) if abs(value) < 1e5 else quantity(value)


def plain(value: Any) -> str:
    """A configuration value or a single figure, in full: integers with separators, strings without quotes."""
    if isinstance(value, bool) or value is None:
        return str(value).lower() if value is not None else "none"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain(entry) for entry in value)
    return str(value)
