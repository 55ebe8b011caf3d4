"""What is compiled, and when."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sorter.compiled import compiled

# Every way in which a function was compiled or loaded. To listen for Numba's compiling would not
# do: what an earlier run has compiled and kept is loaded, and nothing tells of it.
_MADE = """
import sys
from numba.core.dispatcher import Dispatcher

def made() -> set[str]:
    ours = [m for name, m in sys.modules.items() if name.startswith(("sorter.", "hardware_sim."))]
    each = {f for m in ours for f in vars(m).values() if isinstance(f, Dispatcher)}
    assert len(each) > 10, each
    return {f"{f.__module__}.{f.__name__}{way}" for f in each for way in f.signatures}
"""

_NOTHING_IS_COMPILED_LATER = """
from sorter.segment import Segmenter, SegmentSettings
from tests.sorter.drawn import anything

segmenter = Segmenter(
    SegmentSettings(), pitch_um=2.0, shape=(256, 320), bit_depth=int(sys.argv[1])
)
before = made()
found = [segmenter.detect(frame) for frame in anything(30, int(sys.argv[1]))]
assert sum(map(len, found)) > 60, found
assert any(d.split for frame in found for d in frame)
assert any(d.double for frame in found for d in frame)
print(sorted(made() - before))
"""

_NOR_WHILE_IT_SORTS = """
from pathlib import Path
import numpy as np
from hardware_sim.demo_rig import DemoSettings
from hardware_sim.virtual_rig import run_virtual
from hardware_sim.warm_up import warm_up
from sorter.warm_up import warm_up_finding, warm_up_ways

warm_up()
warm_up_finding(np.dtype(np.uint8))
warm_up_ways()
before = made()
run = run_virtual(DemoSettings(seed=7, duration_s=8.0, rate_hz=4.0), Path(sys.argv[1]))
assert len(run.trace.commands) > 3, run.trace.commands
print(sorted(made() - before))
"""

_NOR_WHILE_IT_DRAWS = """
import numpy as np
from hardware_sim.optics import OpticsSettings, Sensor
from hardware_sim.spheroids import draw_bubble, draw_debris, draw_fibre, draw_spheroid, make_body
from hardware_sim.travellers import random_turn
from hardware_sim.warm_up import warm_up

warm_up()
before = made()
rng, optics = np.random.default_rng(2), OpticsSettings()
sensor = Sensor(200, 150, int(sys.argv[1]), optics, seed=0)
specs = [draw_spheroid(rng, unhealthy_fraction=0.7) for _ in range(200)]
specs += [draw(rng) for draw in (draw_bubble, draw_debris, draw_fibre) for _ in range(20)]
for number, spec in enumerate(specs):
    patch = make_body(spec).transmission(
        random_turn(rng), pitch_um=optics.pitch_um, defocus_um=float(rng.normal(0.0, 40.0)),
        centre_px=(float(rng.uniform(-60, 260)), float(rng.uniform(-60, 210))),
    )
    sensor.expose([patch], time_s=0.005 * number)
print(sorted(made() - before))
"""


@pytest.mark.parametrize("bit_depth", [8, 12])
def test_nothing_is_compiled_while_it_draws(bit_depth: int) -> None:
    assert _printed(_NOR_WHILE_IT_DRAWS, str(bit_depth)) == "[]"


@pytest.mark.parametrize("bit_depth", [8, 12])
def test_nothing_is_compiled_once_frames_come(bit_depth: int) -> None:
    assert _printed(_NOTHING_IS_COMPILED_LATER, str(bit_depth)) == "[]"


def test_nothing_is_compiled_while_it_sorts(tmp_path: Path) -> None:
    assert _printed(_NOR_WHILE_IT_SORTS, str(tmp_path)) == "[]"


def _printed(program: str, argument: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _MADE + program, argument],
        capture_output=True,
        text=True,
        check=False,
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
