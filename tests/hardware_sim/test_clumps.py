"""Bodies that show as one: their common outline, and what hangs together."""

from __future__ import annotations

import math

import pytest

from hardware_sim.clumps import Disc, clumps, outline

ONE, RIGHT, FAR = Disc(100.0, 50.0, 20.0), Disc(140.0, 50.0, 20.0), Disc(180.0, 50.0, 20.0)


@pytest.mark.parametrize(
    ("discs", "centre", "area", "box"),
    [
        ((ONE,), (100.0, 50.0), 1.0, (80.0, 30.0, 120.0, 70.0)),
        ((ONE, ONE), (100.0, 50.0), 1.0, (80.0, 30.0, 120.0, 70.0)),
        ((ONE, RIGHT), (120.0, 50.0), 2.0, (80.0, 30.0, 160.0, 70.0)),
        ((FAR, ONE, RIGHT), (140.0, 50.0), 3.0, (80.0, 30.0, 200.0, 70.0)),
        ((ONE, Disc(100.0, 60.0, 10.0)), (100.0, 50.0), 1.0, (80.0, 30.0, 120.0, 70.0)),
    ],
    ids=["one", "the same twice", "a pair", "a row", "one within the other"],
)
def test_the_outline_is_the_union_of_discs(
    discs: tuple[Disc, ...],
    centre: tuple[float, float],
    area: float,
    box: tuple[float, float, float, float],
) -> None:
    seen = outline(discs)
    assert (seen.x_px, seen.y_px) == pytest.approx(centre, abs=1.0)
    assert math.pi * seen.r_px**2 == pytest.approx(area * math.pi * 400.0, rel=0.03)
    left, up, right, down = (seen.r_px * one for one in seen.reach)
    sides = (seen.x_px - left, seen.y_px - up, seen.x_px + right, seen.y_px + down)
    assert sides == pytest.approx(box)


def test_what_touches_what_touches_hangs_together() -> None:
    found = clumps([(1, 2), (5, 6), (7, 8), (2, 3), (8, 5)])
    assert sorted(map(sorted, found)) == [[1, 2, 3], [5, 6, 7, 8]]
