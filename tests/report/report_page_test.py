"""The page of a run: its sections, its pictures, and that it neither calls out nor trusts what it shows."""

import json
import re
import shutil
import struct
import zlib
from pathlib import Path

import pytest

from unified_jax.report import Chapter, build
from unified_jax.report.gallery import evolutions, galleries
from unified_jax.report.read import read_run

SECTIONS = {
    "scores-1": "metrics.json",
    "draw-1": "samples",
    "evolution-1": "samples",
    "caption-1": "samples",
    "question-1": "samples",
    "edit-1": "samples",
    "story-1": "samples",
    "losses-1": "metrics.jsonl",
    "speed-1": "metrics.jsonl",
    "progress-1": "scores.jsonl",
    "environment-1": "environment.json",
    "config-1": "config.json",
}
HOSTILE = '<script>alert("x")</script><img src=http://example.com/x.png>'


def png(path: Path, shade: int, size: int = 48) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    rows = (b"\0" + bytes([shade]) * size) * size
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(data)


def write_lines(path: Path, entries: list[dict]) -> None:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def score(value: float) -> dict:
    return {"value": value, "low": value - 0.05, "high": value + 0.05, "n": 86}


def write_samples(folder: Path) -> None:
    samples = []

    def image(step: int, shade: int) -> dict:
        name = f"step_{step:06d}/{len(list(folder.rglob('*.png'))):04d}.png"
        png(folder / name, shade)
        return {"image": name}

    def add(step: int, task: str, prompt: list, output: list, truth: list, correct: bool | None = True) -> None:
        samples.append({"step": step, "task": task, "group": "never trained on", "correct": correct}
                       | {"prompt": prompt, "output": output, "truth": truth})  # fmt: skip

    for step in (100, 200):
        for i in range(40):
            add(step, "draw", [{"text": f"Draw number {i}."}], [image(step, i)], [], i % 2 == 0)
        add(step, "edit", [image(step, 9), {"text": "Darker."}], [image(step, step)], [image(step, 8)])
    add(200, "caption", [image(200, 5)], [{"text": HOSTILE}], [{"text": "a grey square"}], False)
    add(200, "question", [image(200, 5), {"text": "Which?"}], [{"text": "grey"}], [{"text": "grey"}])
    add(200, "story", [{"text": "Tell."}], [{"text": "Once."}, image(200, 7)], [], None)
    (folder / "index.json").write_text(json.dumps(samples))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    write_samples(folder / "samples")
    (folder / "config.json").write_text(json.dumps({"steps": 200, "model": {"image": {"patch": 4}}}))
    (folder / "environment.json").write_text(json.dumps({"jax": "0.10.2", "command": "ujx train"}))
    (folder / "metrics.json").write_text(
        json.dumps(
            {"caption_exact": score(0.9), "distance": score(12.5), "train_minutes": 7.9, "parameters": 2_100_000}
        )
    )
    logged = {"loss/text": 0.5, "loss/image": 0.7, "fill_rate": 0.9, "slots_per_second": 8e3, "mfu": 0.3}
    write_lines(
        folder / "metrics.jsonl",
        [{"step": step, "seconds": 0.3 * step, "loss": 9.0 / step} | logged for step in range(5, 201, 5)],
    )
    write_lines(
        folder / "scores.jsonl",
        [{"step": s, "seconds": 0.3 * s, "scores": {"caption_exact": score(s / 300)}} for s in (100, 200)],
    )
    return folder


def sections(page: Path) -> set[str]:
    return set(re.findall(r'<h2 id="([\w-]+)"', page.read_text()))


def test_all_sections_and_figures(run: Path):
    page = build(run)
    assert page == run / "report.html"
    assert sections(page) == set(SECTIONS)
    text = page.read_text()
    for expected in ("90.0%", "85.0% to 95.0%", "12.5", "2.1M", "image.patch", "0.5 min", "ujx train", "Loss: image"):
        assert expected in text
    assert text.count("<svg") == 3 + 3 + 1  # losses, speed, scores
    assert [path.name for path in run.iterdir() if path.suffix == ".tmp"] == []


@pytest.mark.parametrize("missing", sorted(set(SECTIONS.values())))
def test_missing_file_leaves_out_its_sections(run: Path, missing: str):
    shutil.rmtree(run / missing) if (run / missing).is_dir() else (run / missing).unlink()
    left = {key for key, file in SECTIONS.items() if file != missing}
    if missing == "metrics.json":
        left.add("scores-1")  # the latest evaluation stands in
    if missing == "environment.json":
        left.add("environment-1")  # the times are in metrics.json
    page = build(run)
    assert sections(page) == left
    assert ("Versions and machine" in page.read_text()) == (missing != "environment.json")


def test_empty_folder_is_a_page(tmp_path: Path):
    assert sections(build(tmp_path)) == set()


def test_pictures_are_embedded_and_nothing_is_requested(run: Path):
    text = build(run).read_text()
    sources = re.findall(r"<img src=\"([^\"]*)\"", text)
    assert len(sources) > 24
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert 'width="96"' in text
    shown = text.replace(HOSTILE.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;"), "")
    assert "http:" not in shown and "https:" not in shown and "url(http" not in shown and "@import" not in shown
    assert set(re.findall(r"url\((.)", shown)) <= {"#"}
    assert set(re.findall(r"href=\"(.)", shown)) <= {"#"}


def test_hostile_text_is_escaped(run: Path):
    text = build(Chapter(run, title=HOSTILE, note=HOSTILE)).read_text()
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 4  # page title, heading, note, caption


def test_page_does_not_depend_on_when_it_is_built(run: Path):
    assert build(run).read_text() == build(run, run / "again.html").read_text()


def test_several_runs_on_one_page(run: Path, tmp_path: Path):
    other = shutil.copytree(run, tmp_path / "emoji")
    page = build(run, tmp_path / "both.html", others=[Chapter(other, "Emoji", "trained before, for longer")])
    assert sections(page) == set(SECTIONS) | {key.replace("-1", "-2") for key in SECTIONS}
    assert "trained before, for longer" in page.read_text()


def test_groups_show_the_first_and_count_all(run: Path):
    samples = read_run(run).samples
    draw = galleries(samples)[0].groups[0]
    assert (draw.step, len(draw.shown), draw.total, draw.right) == (200, 24, 40, 20)
    assert draw.summary == "20 of 40 right; the first 24 of 40 shown"
    assert [gallery.task.key for gallery in galleries(samples)] == ["draw", "caption", "question", "edit", "story"]


def test_prompts_are_followed_over_steps(run: Path):
    draw, edit = evolutions(read_run(run).samples)
    assert draw.steps == (100, 200) and draw.total == 40 and not draw.has_truth
    (row,) = edit.rows  # the picture in the prompt has another path at each step
    assert edit.has_truth and [cell.step for cell in row.cells] == [100, 200]


def test_a_killed_run_is_read_up_to_its_last_whole_line(run: Path):
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 205, "lo')
    assert read_run(run).metrics[-1]["step"] == 200
    build(run)


@pytest.mark.parametrize("name", ["metrics.jsonl", "scores.jsonl"])
def test_malformed_line_is_named(run: Path, name: str):
    lines = (run / name).read_text().splitlines()
    (run / name).write_text("\n".join([lines[0], "{oops", *lines[1:]]) + "\n")
    with pytest.raises(ValueError, match=rf"{name}, line 2"):
        build(run)


def test_resumed_run_keeps_the_later_record_of_a_step(run: Path):
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 100, "loss": 42.0}) + "\n")
    metrics = {entry["step"]: entry for entry in read_run(run).metrics}
    assert metrics[100]["loss"] == 42.0 and list(metrics) == sorted(metrics)


@pytest.mark.parametrize("entry", [{"task": "draw", "output": [{"image": "../../secret.png"}]}, {"step": 3}, "text"])
def test_bad_sample_is_named(run: Path, entry):
    (run / "samples" / "index.json").write_text(json.dumps([entry]))
    with pytest.raises(ValueError, match="index.json, sample 0"):
        build(run)


def test_missing_picture_leaves_a_box(run: Path):
    for path in (run / "samples" / "step_000200").iterdir():
        path.unlink()
    assert "picture missing" in build(run).read_text()


def test_unmeasured_values_are_tolerated(run: Path):
    nothing = {"value": float("nan"), "low": None, "high": None, "n": 0}
    (run / "metrics.json").write_text(json.dumps({"caption_exact": nothing, "train_minutes": None}))
    write_lines(run / "scores.jsonl", [{"step": 1, "seconds": None, "scores": {"caption_exact": nothing}}])
    write_lines(run / "metrics.jsonl", [{"step": 1, "seconds": 1.0, "loss": float("nan"), "mfu": None}])
    assert sections(build(run)) >= {"scores-1", "progress-1"}
