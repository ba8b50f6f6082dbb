"""The user's own documents: lines of JSON, tables and archives, in any layout; bad records named; splits that hold."""

import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow
import pyarrow.parquet
import pytest

from unified_jax.data.document import BadRecord, Document, Image, Text
from unified_jax.data.guard import Guard
from unified_jax.data.sources.documents import Documents
from unified_jax.data.sources.example import DocumentFrom, ImageFrom, TextFrom
from unified_jax.data.sources.formats import open_records
from unified_jax.data.sources.jsonl import Jsonl
from unified_jax.data.sources.parquet import Parquet
from unified_jax.data.sources.webdataset import WebDataset

COUNT = 40
CAPTIONED = DocumentFrom([ImageFrom("image"), TextFrom("caption", target=True)])


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (6, 5 + seed % 3, 3), dtype=np.uint8)


def png(seed: int) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels(seed)).save(file, "png")
    return file.getvalue()


def write_jsonl(path: Path, records: list) -> Path:
    path.write_text("\n".join(json.dumps(record) for record in records) + "\n", encoding="utf-8")
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def spelled(i: int) -> dict:
    return {"id": f"n{i}", "parts": [{"image": f"pictures/{i}.png"}, {"text": f"picture {i}", "target": True}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The same documents in every format."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "pictures").mkdir()
    for i in range(COUNT):
        (folder / "pictures" / f"{i}.png").write_bytes(png(i))
    write_jsonl(folder / "own.jsonl", [spelled(i) for i in range(COUNT)])
    rows = [{"image": {"bytes": png(i), "path": f"{i}.png"}, "caption": f"picture {i}"} for i in range(COUNT)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "own.parquet", row_group_size=7)
    files = {}
    for i in range(COUNT):
        files |= {f"all/{i:04}.png": png(i), f"all/{i:04}.txt": f"picture {i}".encode()}
    write_tar(folder / "own.tar", files)
    return folder


def sources(folder: Path, **options) -> dict[str, Documents]:
    txt = DocumentFrom([ImageFrom("image"), TextFrom("txt", target=True)])
    return {
        "jsonl": Documents(open_records(folder / "own.jsonl"), **options),
        "parquet": Documents(open_records(folder / "own.parquet"), CAPTIONED, **options),
        "tar": Documents(open_records(folder / "own.tar"), txt, **options),
    }


def captions(source: Documents) -> list[str]:
    return [source[i].targets[0].text for i in range(len(source))]


def test_every_format_gives_the_same_documents_in_any_order(folder):
    for name, source in sources(folder).items():
        again = pickle.loads(pickle.dumps(source))  # as Grain's workers get it
        assert len(source) == COUNT
        for i in (COUNT - 1, 0, 17):
            image, text = again[i]
            assert isinstance(image, Image) and text == Text(f"picture {i}", target=True), name
            np.testing.assert_array_equal(image.pixels, pixels(i))


def test_splits_are_apart_and_together_all(folder):
    for name in sources(folder):
        train, held_out = (sources(folder, split=split, held_out=0.3)[name] for split in ("train", "held_out"))
        assert 4 <= len(held_out) <= 20
        assert sorted(captions(train) + captions(held_out)) == sorted(f"picture {i}" for i in range(COUNT))


def test_a_record_stays_on_its_side_when_others_come(folder, tmp_path):
    (tmp_path / "pictures").symlink_to(folder / "pictures")
    few = Documents(Jsonl(write_jsonl(tmp_path / "few.jsonl", [spelled(i) for i in range(20, 30)])), split="train")
    many = Documents(Jsonl(folder / "own.jsonl"), split="train")
    assert set(captions(few)) == set(captions(many)) & {f"picture {i}" for i in range(20, 30)}


def test_a_shuffled_order_is_of_its_seed(folder):
    orders = [captions(Documents(Jsonl(folder / "own.jsonl"), shuffle=seed)) for seed in (0, 0, 1, None)]
    assert orders[0] == orders[1] != orders[2] and orders[0] != orders[3] == [f"picture {i}" for i in range(COUNT)]
    assert sorted(orders[0]) == sorted(orders[3])


def test_a_conversation_is_given_and_produced_in_turn(folder, tmp_path):
    turns = [
        {"from": "human", "value": "<image>\nWhat is this?"},
        {"from": "gpt", "value": "A."},
        {"from": "human", "value": "And with <image> beside it?"},
        {"from": "gpt", "value": "B."},
    ]
    record = {"id": 7, "image": ["0.png", "1.png"], "conversations": turns}
    source = Documents(Jsonl(write_jsonl(tmp_path / "chat.jsonl", [record]), folder=folder / "pictures"))
    document = source[0]
    said = [(part.text, part.target) for part in document if isinstance(part, Text)]
    assert said == [
        ("What is this?", False),
        ("A.", True),
        ("And with", False),
        ("beside it?", False),
        ("B.", True),
    ]
    assert [isinstance(part, Image) for part in document] == [True, False, False, False, True, False, False]
    np.testing.assert_array_equal(document[4].pixels, pixels(1))
    assert document.info == {"id": 7}


BAD = {
    "part 0: empty text": {"parts": [{"text": "  "}]},
    "no such picture": {"parts": [{"image": "none.png"}]},
    "not a readable picture": {"parts": [{"image": "cut.png"}]},
    "part 1 needs text or image, and may say target; found sound": {"parts": [{"text": "a"}, {"sound": "a.wav"}]},
    "target is true or false, found 'yes'": {"parts": [{"text": "a", "target": "yes"}]},
    "parts must be a list that is not empty": {"parts": []},
    "needs parts or conversations, found caption": {"caption": "a"},
    "shows <image> 0 times, and has 1 pictures": {"image": "cut.png", "conversations": [{"from": "gpt", "value": "a"}]},
    "turn 0 needs a text as value, and from": {"conversations": [{"from": "robot", "value": "a"}]},
    "a line must hold an object, found list": [1],
}


def test_bad_lines_are_named_and_passed_over(folder, tmp_path):
    (tmp_path / "cut.png").write_bytes(png(0)[:60])
    path = write_jsonl(tmp_path / "bad.jsonl", [*BAD.values(), {"parts": [{"text": "good", "target": True}]}])
    path.write_bytes(path.read_bytes() + b'\n\n{"parts": \n\xff\n')
    source = Documents(Jsonl(path))
    assert len(source) == len(BAD) + 3  # blank lines are none
    for i, reason in enumerate(BAD):
        with pytest.raises(BadRecord) as error:
            source[i]
        message = str(error.value)
        assert reason in message and message.startswith(f"{path} line {i + 1}: ") and "\n" not in message
    for i in (-2, -1):
        with pytest.raises(BadRecord, match=f"line {len(BAD) + 4 + i + 1 + 1}: not JSON in UTF-8"):
            source[len(source) + i]
    guard = Guard(source, limit=len(source))
    assert all(guard[i][0].text == "good" for i in range(len(guard))) and len(guard.bad) == len(source) - 1


def test_bad_rows_are_named(folder, tmp_path):
    rows = [
        {"image": {"bytes": png(0)[:50], "path": None}, "caption": "a"},
        {"image": {"bytes": None, "path": "none.png"}, "caption": "a"},
        {"image": {"bytes": png(0), "path": None}, "caption": None},
        {"image": None, "caption": "a"},
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "bad.parquet", row_group_size=2)
    source = Documents(Parquet(tmp_path / "bad.parquet", columns=["image", "caption"], key="caption"), CAPTIONED)
    for i, reason in enumerate(["not a readable picture", "no such picture", "'caption' is empty", "not a picture"]):
        with pytest.raises(BadRecord, match=rf"bad.parquet row {i % 2} of group {i // 2}: .*{reason}"):
            source[i]
    with pytest.raises(ValueError, match="no column 'words'; it has image, caption"):
        Parquet(folder / "own.parquet", columns=["words"])
    (tmp_path / "none.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="none.parquet: not a readable Parquet file") as error:
        Parquet(tmp_path / "none.parquet")
    assert "\n" not in str(error.value)


def test_bad_samples_are_named(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"0.txt": b"\xff", "1.json": b"{", "2.png": png(0)})
    source = Documents(WebDataset(path), DocumentFrom([TextFrom("txt")]))
    for i, reason in enumerate([".txt is not text in UTF-8", ".json is not JSON", "no feature 'txt'; it has image"]):
        with pytest.raises(BadRecord, match=rf"a.tar {i}: .*{reason}"):
            source[i]
    whole = write_tar(tmp_path / "whole.tar", {f"{i}.png": png(i) * 20 for i in range(4)}).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
    write_tar(tmp_path / "packed.tar", {"0.txt": b"a"}, "w:gz")
    for name in ("cut", "packed"):
        with pytest.raises(ValueError, match=f"{name}.tar: compressed, truncated or not a tar archive"):
            WebDataset(tmp_path / f"{name}.tar")


def test_the_index_of_an_archive_is_written_once_and_renewed_with_it(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "a.tar", {"0.txt": b"old", "._0.txt": b"none"})
    assert WebDataset(path, cache=tmp_path / "cache").read(0)["txt"] == "old"
    assert not (tmp_path / "a.tar.index.json").exists() and len(list((tmp_path / "cache").iterdir())) == 1
    assert len(WebDataset(path)) == 1
    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", None)
        assert WebDataset(path).read(0)["txt"] == "old"
    said = {"parts": [{"image": "2.png"}, {"text": "two", "target": True}]}
    write_tar(path, {"0.1.png": png(1), "0.2.png": png(2), "0.json": json.dumps(said).encode()})
    document = Documents(WebDataset(path))[0]
    np.testing.assert_array_equal(document[0].pixels, pixels(2))
    assert isinstance(document, Document) and document[1].text == "two"


def test_what_cannot_be_opened_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="the format from '.csv'; known endings are .jsonl, .parquet, .tar"):
        open_records(tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError, match="none-.*jsonl: no such file"):
        Jsonl(tmp_path / "none-*.jsonl")
    path = write_jsonl(tmp_path / "a.jsonl", [{"parts": [{"text": "a"}]}])
    with pytest.raises(ValueError, match="unknown split 'test'; choose all, train, held_out"):
        Documents(Jsonl(path), split="test")
    with pytest.raises(ValueError, match="has no records in split 'train' of 1"):
        Documents(Jsonl(path), split="train", held_out=1.0)
    (tmp_path / "b.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="b.jsonl: holds no lines"):
        Jsonl(tmp_path / "b.jsonl")
