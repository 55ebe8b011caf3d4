"""Limits that end a run."""

from __future__ import annotations

import pytest

from sorter.limits import LimitSettings, Progress, reached

NONE, ALL = LimitSettings(), LimitSettings(collected=10, volume_ul=500.0, outside_min=2.0)

CASES: dict[str, tuple[Progress, LimitSettings, str | None]] = {
    "no limits": (Progress(10**6, 1e9, 1e9), NONE, None),
    "not yet": (Progress(9, 499.0, 119.0), ALL, None),
    "enough collected": (Progress(10, 0.0, 0.0), ALL, "collected"),
    "the vessel is full": (Progress(0, 500.0, 0.0), ALL, "volume"),
    "nobody tells the volume": (Progress(0, None, 0.0), ALL, None),
    "too long outside": (Progress(0, None, 120.0), ALL, "outside"),
}


@pytest.mark.parametrize("case", CASES)
def test_limits(case: str) -> None:
    progress, limits, name = CASES[case]
    found = reached(progress, limits)
    assert (found and found[0]) == name
