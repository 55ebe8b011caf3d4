"""The fixtures that hold tests to account do notice what is left running."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

LEAKY = """
import subprocess, sys, threading

def test_clean():
    thread = threading.Thread(target=str)
    thread.start()

def test_thread():
    threading.Thread(target=threading.Event().wait, name="forgotten", daemon=True).start()

def test_process():
    global child
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
"""


def test_leaks_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "test_leaky.py"
    path.write_text(LEAKY)
    (tmp_path / "none.ini").touch()
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-c", str(tmp_path / "none.ini"), str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "left running: thread forgotten" in done.stdout, done.stdout + done.stderr
    assert "left running: process" in done.stdout
    assert "3 passed, 2 errors" in done.stdout
