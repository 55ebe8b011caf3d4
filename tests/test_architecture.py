"""House rules that no linter knows: sizes, layers, docstrings, what the sorting path imports."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("sorter", "drivers", "models", "calibration", "hardware_sim")
MODULES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))
PYTHON = [*MODULES, *TESTS, *BENCHMARKS]

LONGEST_FILE = 400
LONGEST_FUNCTION = 60

# Files that may sleep, each with why no wait on a condition is possible there.
MAY_SLEEP = {
    "drivers/clock.py": "the one real clock waits until a deadline",
    "hardware_sim/camera.py": "hands a frame out at the time at which it is due",
    "hardware_sim/scene_process.py": "exposes a frame at the time at which it is due",
    "tests/e2e/test_kill.py": "a log that another process writes has no notification",
    "tests/conftest.py": "a second look at a system table that has no notification",
}
# On MicroPython the only standard output is the wire itself.
MAY_PRINT = {"drivers/firmware/board.py"}

# What runs while objects flow; loaded in a process of its own below.
SORTING_PATH = (
    "sorter.cli",
    "sorter.pipeline",
    "sorter.build",
    "sorter.runner",
    "sorter.record",
    "drivers.mmcore_camera",
    "drivers.dispenser",
    "models.infer",
    "models.bundle",
    "models.prediction",
)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


Function = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.mark.parametrize("path", PYTHON, ids=_name)
def test_sizes(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_FILE, f"{lines} lines"
    for node in ast.walk(_tree(path)):
        if isinstance(node, Function):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name}: {length} lines"


def _calls(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_packages_do_not_print(path: Path) -> None:
    assert _name(path) in MAY_PRINT or "print" not in set(_calls(_tree(path)))


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=_name)
def test_nothing_waits_by_sleeping(path: Path) -> None:
    sleeps = {one for one in _calls(_tree(path)) if one in ("sleep", "time.sleep")}
    imported = re.search(r"from time import .*\bsleep\b", path.read_text(encoding="utf-8"))
    assert _name(path) in MAY_SLEEP or not (sleeps or imported)


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=_name)
def test_no_mocks(path: Path) -> None:
    for node in ast.walk(_tree(path)):
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{one.name}" for one in node.names]
        assert not [one for one in names if "mock" in one.split(".")]


# What `pip install spheroid-sorter` brings, by the names under which it is imported.
INSTALLED = {
    *("cv2", "jinja2", "markupsafe", "msgspec", "numba", "numpy", "onnxruntime", "pydantic"),
    *("pydantic_core", "pymmcore_plus", "rich", "serial", "tomli_w", "typer"),
}
EXTRA_TRAIN = {
    *("lightning_fabric", "onnx", "onnxscript", "safetensors", "scipy", "sklearn", "torch"),
    "torchmetrics",
}
ON_THE_BOARD = {"machine", "micropython", "rp2", "utime"}


def _third_party(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {one.name.split(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - set(PACKAGES)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_what_is_installed(path: Path) -> None:
    may = set(INSTALLED)
    if _name(path).startswith("models/"):
        may |= EXTRA_TRAIN
    if _name(path).startswith("drivers/firmware/"):
        may |= ON_THE_BOARD
    used = _third_party(_tree(path))
    assert not used - may, "not among the run-time dependencies"


def _undocumented(path: Path) -> Iterator[str]:
    tree = _tree(path)
    if not ast.get_docstring(tree):
        yield "the module"
    for node in _public(tree.body):
        if not ast.get_docstring(node):
            yield node.name
        for inner in _public(node.body) if isinstance(node, ast.ClassDef) else []:
            if not ast.get_docstring(inner) and not _documented_elsewhere(inner):
                yield f"{node.name}.{inner.name}"


def _public(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def _documented_elsewhere(node: Function | ast.ClassDef) -> bool:
    marks = [ast.unparse(one) for one in node.decorator_list]
    return any(one.split(".")[-1] in ("override", "overload", "setter") for one in marks)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_public_names_are_documented(path: Path) -> None:
    assert not list(_undocumented(path))


# An absolute path in a string, but those that every Linux has.
PRIVATE_PLACE = re.compile(r"(?<![\w.:/>])/(?!dev/|proc/|sys/)[a-z]+/\w+|\b[A-Z]:[\\/]\w+")


@pytest.mark.parametrize("path", [*MODULES, *BENCHMARKS], ids=_name)
def test_names_no_private_place(path: Path) -> None:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not PRIVATE_PLACE.findall(node.value)


def _contract(kind: str) -> dict[str, list[str]]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    found: dict[str, list[str]] = next(one for one in contracts if one["type"] == kind)
    return found


def test_every_module_stands_in_one_layer() -> None:
    layers = _contract("layers")["layers"]
    named = [one.strip(" ()\n") for layer in layers for one in re.split("[:|]", layer)]
    assert len(named) == len(set(named))
    modules = {_module(path) for path in MODULES} - {"sorter", "calibration"}
    unplaced = {
        one
        for one in modules
        if not any(one == layer or one.startswith(f"{layer}.") for layer in named)
    }
    assert not unplaced, "add these to the layers in pyproject.toml"
    planned = {one for layer in layers for one in re.findall(r"\(([\w.]+)\)", layer)}
    assert not set(named) - modules - planned, "the layers name modules that are not there"


def test_the_sorting_path_loads_neither_torch_nor_the_simulator() -> None:
    # Of scipy itself, where there is one, Numba looks at what it is.
    unwanted = {"torch", "hardware_sim", "matplotlib", "sklearn", "scipy.linalg", "scipy.stats"}
    code = (
        "import importlib, sys\n"
        f"for name in {SORTING_PATH!r}: importlib.import_module(name)\n"
        f"found = {unwanted!r} & set(sys.modules)\n"
        "sys.exit(f'loaded: {sorted(found)}' if found else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
