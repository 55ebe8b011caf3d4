"""How long `make test` takes: style, types, layers and all tests, in the environment that is there.

python -m benchmarks.bar_01_tests
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from benchmarks._bar import Row, finish

LONGEST_S = 600.0
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Measure, print, exit."""
    # The environment is made first: what is timed are the tests.
    subprocess.run(["make", "dev"], cwd=ROOT, check=True)
    start = time.monotonic()
    done = subprocess.run(["make", "test"], cwd=ROOT, check=False)
    wall_s = time.monotonic() - start
    rows = [
        Row("exit code", 1, done.returncode, "= 0", done.returncode == 0),
        Row("wall time, s", 1, wall_s, f"< {LONGEST_S:g}", wall_s < LONGEST_S),
    ]
    finish("make test", rows)


if __name__ == "__main__":
    main()
