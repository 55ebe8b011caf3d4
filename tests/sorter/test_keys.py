"""Keys from a terminal: a real one, made for the test."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from sorter.keys import Keys
from tests.terminals import on_terminal

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

CHILD = """
import select, sys
from sorter.keys import Keys
with Keys() as keys:
    print("active" if keys.active else "no terminal", flush=True)
    typed = ""
    while keys.active and "q" not in typed:
        select.select([sys.stdin], [], [], 30)
        typed += keys.read()
print(f"typed {typed}", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("source", ["nothing", "file", "closed"])
def test_without_a_terminal_nothing_is_typed(source: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("pqr")
    with (tmp_path / "file").open() as file:
        if source == "closed":
            file.close()
        with Keys(io.StringIO("pqr") if source == "nothing" else file) as keys:
            assert not keys.active
            assert keys.read() == ""


def test_keys_come_one_by_one_and_the_terminal_is_left_as_it_was() -> None:
    import termios

    with on_terminal([sys.executable, "-c", CHILD]) as child:
        child.wait_for("active")
        lines = termios.tcgetattr(child.master)[3]
        assert not lines & (termios.ICANON | termios.ECHO)
        assert lines & termios.ISIG
        child.type("p")
        child.type("rq")
        child.wait_for("typed prq")
        after = termios.tcgetattr(child.master)[3]
        assert after & termios.ICANON
        assert after & termios.ECHO
        child.type("\n")
        assert child.end() == 0
