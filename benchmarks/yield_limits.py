"""What debris costs in yield: the same runs with less of it, in virtual time.

    python -m benchmarks.yield_limits --seeds 100-105 --duration-s 60

No bar. The default feed has five particles for each spheroid, of which one in 26 is 30 µm and
larger, and must not be collected undecided. Beside it stand the same seeds with particles up to
30 µm only, and without any: what is lost then is lost to neighbours that are spheroids, bubbles and
fibres, to wrong judgements, and to touching groups.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks._bar import Row, finish, wilson
from benchmarks._runs import parser
from hardware_sim.demo_rig import DemoSettings
from hardware_sim.scene_settings import SceneSettings
from hardware_sim.virtual_rig import run_virtual

Arrange = Callable[[SceneSettings], SceneSettings]


def with_feed(**changes: float) -> Arrange:
    """The scene with some settings of its feed changed."""

    def arrange(scene: SceneSettings) -> SceneSettings:
        return scene.model_copy(update={"feed": scene.feed.model_copy(update=changes)})

    return arrange


FEEDS: dict[str, Arrange] = {
    "default feed": with_feed(),
    "debris below 30 µm only": with_feed(debris_max_um=30.0),
    "no debris": with_feed(debris_per_spheroid=0.0),
}


def rows_of(name: str, arrange: Arrange, seeds: Sequence[int], duration_s: float) -> list[Row]:
    """Yield, conflicts and unsafe bodies of all seeds together."""
    tally: Counter[str] = Counter()
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            settings = DemoSettings(seed=seed, duration_s=duration_s)
            truth = run_virtual(settings, Path(folder), arrange=arrange).truth
        tally["unsafe"] += truth["unsafe"]
        for body in truth["outlets"]:
            if body["health"] == "healthy":
                tally["healthy"] += 1
                tally["collected"] += body["outlet"] == "collect"
                tally["conflicts"] += "conflict" in body["reasons"]
    n = tally["healthy"]
    return [
        Row(f"{name}: {what}", n, tally[key] / n, "stated", True, wilson(tally[key], n))
        for what, key in (("yield", "collected"), ("given up for a neighbour", "conflicts"))
    ] + [Row(f"{name}: unsafe", len(seeds), tally["unsafe"], "stated", True)]


def main(arguments: Sequence[str]) -> None:
    """Run, print, exit."""
    given = parser(__doc__, seeds="100-105", duration_s=60.0).parse_args(arguments)
    rows = [
        row
        for name, arrange in FEEDS.items()
        for row in rows_of(name, arrange, given.seeds, given.duration_s)
    ]
    finish("What debris costs (virtual time; no bar)", rows)


if __name__ == "__main__":
    main(sys.argv[1:])
