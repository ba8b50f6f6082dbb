"""TFDS: prepared without TensorFlow, read without it, and giving the same documents as the embedded source."""

import ast
import json
import pathlib
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

import unified_jax
from unified_jax.data.document import BadRecord, Image, Text
from unified_jax.data.guard import Guard
from unified_jax.data.sources.emoji import Emoji
from unified_jax.data.sources.emoji_tfds import EmojiConfig, UnifiedEmoji
from unified_jax.data.sources.example import DocumentFrom, ImageFrom, TextFrom
from unified_jax.data.sources.tfds import Tfds

FIELDS = {"holdout": "new", "styles": ("noto_v1",), "resolution": 16}
NAME = "unified_emoji/test"
INFO = ("caption", "id", "style")
LAYOUTS = {
    "draw": DocumentFrom(
        [TextFrom("caption"), ImageFrom("image", target=True)],
        info=INFO,
        facts={"task": "draw", "kind": "", "background": "white"},
    ),
    "keywords": DocumentFrom(
        [ImageFrom("image"), Text("Which keywords describe this picture?"), TextFrom("keywords", target=True)],
        info=INFO,
        facts={"task": "keywords", "kind": "", "background": "white"},
    ),
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    config = EmojiConfig(name="test", **FIELDS)
    UnifiedEmoji(data_dir=root, config=config, file_format="array_record").download_and_prepare()
    return root


def _parts(document):
    return [(part.target, part.text if isinstance(part, Text) else part.pixels.tolist()) for part in document]


@pytest.mark.parametrize("split", ["train", "held_out"])
@pytest.mark.parametrize("task", LAYOUTS)
def test_documents_equal_those_of_the_embedded_source(data_dir, task, split):
    embedded = Emoji(tasks={task: 1}, split=split, **FIELDS)
    prepared = Tfds(NAME, data_dir=data_dir, split=split, to_document=LAYOUTS[task])
    wanted = {document.info["id"]: document for document in map(embedded.__getitem__, range(len(embedded)))}
    found = {document.info["id"]: document for document in map(prepared.__getitem__, range(len(prepared)))}
    assert len(prepared) == len(embedded) and found.keys() == wanted.keys()
    for id, document in found.items():
        assert document.info == wanted[id].info
        assert _parts(document) == _parts(wanted[id])


def test_reading_never_imports_tensorflow(data_dir):
    program = f"""
import sys
from unified_jax.data.sources.tfds import Tfds
source = Tfds({NAME!r}, data_dir={str(data_dir)!r}, split="train", to_document=lambda example: example)
assert source[0]["image"].shape == (16, 16, 3)
assert "tensorflow" not in sys.modules
"""
    root = pathlib.Path(unified_jax.__file__).parent.parent
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root, timeout=60)


def test_only_these_modules_import_tfds():
    root = pathlib.Path(unified_jax.__file__).parent
    importers = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            importers |= {path.name for name in names if name.split(".")[0] in ("tensorflow", "tensorflow_datasets")}
    assert importers == {"tfds.py", "emoji_tfds.py"}


def test_slices_pickling_and_the_end(data_dir):
    source = Tfds(NAME, data_dir=data_dir, split="held_out[:3]", to_document=LAYOUTS["draw"])
    assert len(source) == 3
    assert pickle.loads(pickle.dumps(source))[1].info == source[1].info
    for index in (3, -1):
        with pytest.raises(IndexError, match="3 documents"):
            source[index]


@pytest.mark.parametrize("name", ["no_such_data", "unified_emoji/combinations"])
def test_data_not_on_disk_says_how_to_prepare_it(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r"prepare it once: tfds.builder\(.*download_and_prepare\(\)") as error:
        Tfds(name, data_dir=tmp_path, split="train", to_document=LAYOUTS["draw"])
    assert "\n" not in str(error.value)


def test_unknown_config_and_split(data_dir):
    with pytest.raises(ValueError, match="TFDS cannot open 'unified_emoji/nothing'") as error:
        Tfds("unified_emoji/nothing", data_dir=data_dir, split="train", to_document=LAYOUTS["draw"])
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="has no split 'test'; it has train, held_out"):
        Tfds(NAME, data_dir=data_dir, split="test", to_document=LAYOUTS["draw"])


def test_files_without_random_access_are_refused(data_dir, tmp_path):
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    path = next(tmp_path.rglob("dataset_info.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fileFormat": "tfrecord"}))
    with pytest.raises(ValueError, match="on disk as tfrecord, not ArrayRecord; prepare it anew"):
        Tfds(NAME, data_dir=tmp_path, split="train", to_document=LAYOUTS["draw"])


def test_bad_features_become_bad_records(data_dir):
    source = Tfds(NAME, data_dir=data_dir, split="held_out", to_document=DocumentFrom([ImageFrom("caption")]))
    guard = Guard(source, limit=2)
    with pytest.raises(RuntimeError, match="more than 2 bad records in Tfds.*'caption': .*not a readable picture"):
        guard[0]


def test_layout_values():
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    example = {
        "image": grey,
        "label": np.int64(1),
        "words": [b"a", "b"],
        "name": "café".encode(),
        "n": np.float32(2),
    }
    layout = DocumentFrom(
        [
            ImageFrom("image"),
            Text("What?"),
            TextFrom("label", names=["cat", "dog"], target=True),
            TextFrom("words"),
            TextFrom("name"),
        ],
        info=["n", "words"],
        facts={"task": "label"},
    )
    document = layout(example)
    assert document[0].pixels.shape == (2, 3, 3) and (document[0].pixels == grey).all()
    assert [part.text for part in document.parts[1:]] == ["What?", "dog", "a, b", "café"]
    assert document[2].target and document.info == {"n": 2.0, "words": ["a", "b"], "task": "label"}
    assert isinstance(document[0], Image)


@pytest.mark.parametrize("image", [np.zeros((2, 3), np.uint8), np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3, 3))])
def test_layout_refuses_what_is_not_a_picture(image):
    with pytest.raises(BadRecord, match="feature 'x': not a picture"):
        ImageFrom("x")({"x": image})


def test_layout_names_what_is_missing_or_out_of_range():
    with pytest.raises(ValueError, match="no feature 'text'; it has image"):
        TextFrom("text")({"image": 0})
    with pytest.raises(BadRecord, match="class 5 is outside the 2 names"):
        TextFrom("label", names=["a", "b"])({"label": 5})
