"""Who may import whom, imports inside functions included; no cycles; no foreign framework inside the library."""

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "unified_jax"

# Beside itself, a part may import these; report stands alone and core stands under everything.
ALLOWED = {
    "bench": "train models objectives sampling nn data core",
    "evals": "models sampling codecs data core",
    "train": "models codecs objectives data sampling interop core",
    "models": "nn codecs interop sampling data core",
    "sampling": "data core",
    "codecs": "nn core",
    "nn": "core",
    "objectives": "core",
    "interop": "core",
    "data": "core",
    "report": "",
    "core": "",
}
FREE = {"cli"}  # may import anything
FORBIDDEN = {"torch", "transformers", "diffusers", "gguf", "tensorflow"}
TFDS_ONLY = {"data/sources/tfds.py", "data/sources/emoji_tfds.py"}


def name_of(path: Path, package: Path = PACKAGE) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, module: str, *, is_package: bool = False) -> set[str]:
    """Every module named by an import anywhere in the tree, relative ones resolved."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join(around + ([node.module] if node.module else []))
            # What is imported from a package may be one of its modules, or something the package itself defines.
            found |= {f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)}
    return found


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
IMPORTS = {
    name: imports(ast.parse(path.read_text()), name, is_package=path.name == "__init__.py")
    for name, path in MODULES.items()
}


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def misdirected(module: str, names: set[str]) -> list[str]:
    """Which of the imported names this module's part may not import."""
    here = part(module)
    if here in FREE or not here:
        return []
    allowed = {here, *ALLOWED[here].split()}
    ours = {name for name in names if name.split(".")[0] == "unified_jax" and part(name)}
    return sorted(name for name in ours if part(name) not in allowed)


def test_every_part_of_the_library_has_a_row_in_the_table():
    assert {part(module) for module in MODULES} - {""} <= set(ALLOWED) | FREE


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_parts_below_its_own(module):
    assert misdirected(module, IMPORTS[module]) == []


def test_only_the_top_imports_the_command_line_and_the_test_helpers():
    users = {m for m, names in IMPORTS.items() for n in names if n.startswith("unified_jax.") and part(n) in FREE}
    assert {part(module) for module in users} <= FREE


def test_no_module_imports_itself_in_a_circle():
    graph = {}
    for module, names in IMPORTS.items():
        graph[module] = {name for name in names if name in MODULES and name != module}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError with the circle


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_another_framework(module):
    assert not {name.split(".")[0] for name in IMPORTS[module]} & FORBIDDEN


def test_only_two_sources_import_tensorflow_datasets():
    users = {
        MODULES[module].relative_to(PACKAGE).as_posix()
        for module, names in IMPORTS.items()
        if any(name.split(".")[0] == "tensorflow_datasets" for name in names)
    }
    assert users <= TFDS_ONLY


@pytest.mark.parametrize(
    "source",
    [
        "import unified_jax.models.model",
        "from unified_jax.models import model",
        "from unified_jax import models",
        "def f():\n  from unified_jax.models.model import Model",
        "from ..models import model",
        "from .. import models",
        "if True:\n  importlib.import_module('unified_jax.models.model')",
    ],
)
def test_an_upward_import_is_found_however_it_is_written(source):
    found = imports(ast.parse(source), "unified_jax.core.mask")
    assert misdirected("unified_jax.core.mask", found)


def test_relative_imports_are_resolved():
    relative = ast.parse("from .cache import Cache")
    assert "unified_jax.core.cache" in imports(relative, "unified_jax.core.mask")
    assert "unified_jax.core.cache" in imports(relative, "unified_jax.core", is_package=True)
