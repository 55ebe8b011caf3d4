"""What is compiled, and when."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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

_NOR_WHILE_IT_SORTS = """
import sys
from pathlib import Path
import numpy as np
from numba.core import event
from hardware_sim.demo_rig import DemoSettings
from hardware_sim.virtual_rig import run_virtual
from hardware_sim.warm_up import warm_up
from sorter.warm_up import warm_up_finding, warm_up_ways

warm_up()
warm_up_finding(np.dtype(np.uint8))
warm_up_ways()
with event.install_recorder("numba:compile") as later:
    run = run_virtual(DemoSettings(seed=7, duration_s=8.0, rate_hz=4.0), Path(sys.argv[1]))
assert len(run.trace.commands) > 3, run.trace.commands
print([event.data["dispatcher"].py_func.__name__ for _, event in later.buffer])
"""


@pytest.mark.parametrize("bit_depth", [8, 12])
def test_nothing_is_compiled_once_frames_come(bit_depth: int) -> None:
    assert _printed(_NOTHING_IS_COMPILED_LATER, str(bit_depth)) == "[]"


def test_nothing_is_compiled_while_it_sorts(tmp_path: Path) -> None:
    assert _printed(_NOR_WHILE_IT_SORTS, str(tmp_path)) == "[]"


def _printed(program: str, argument: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, argument], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_works_where_nothing_can_be_kept() -> None:
    made: dict[str, object] = {}
    # What comes from no file has no place beside it.
    exec("def twice(x: int) -> int:\n    return 2 * x\n", made)
    twice = made["twice"]
    assert callable(twice)
    assert compiled(twice)(21) == 42
