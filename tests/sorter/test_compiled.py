"""What is compiled, and when."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sorter.compiled import compiled

_NOTHING_IS_COMPILED_LATER = """
import sys
import numpy as np
from numba.core import event
from sorter.segment import Segmenter, SegmentSettings
from tests.sorter.drawn import anything

segmenter = Segmenter(
    SegmentSettings(), pitch_um=2.0, shape=(256, 320), bit_depth=int(sys.argv[1])
)
with event.install_recorder("numba:compile") as later:
    found = [segmenter.detect(frame) for frame in anything(30, int(sys.argv[1]))]
assert sum(map(len, found)) > 60, found
assert any(d.split for frame in found for d in frame)
assert any(d.double for frame in found for d in frame)
print([event.data["dispatcher"].py_func.__name__ for _, event in later.buffer])
"""


@pytest.mark.parametrize("bit_depth", [8, 12])
def test_nothing_is_compiled_once_frames_come(bit_depth: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _NOTHING_IS_COMPILED_LATER, str(bit_depth)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_it_works_where_nothing_can_be_kept() -> None:
    made: dict[str, object] = {}
    # What comes from no file has no place beside it.
    exec("def twice(x: int) -> int:\n    return 2 * x\n", made)
    twice = made["twice"]
    assert callable(twice)
    assert compiled(twice)(21) == 42
