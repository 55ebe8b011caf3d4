"""A second body in front of a spheroid, or behind it, through the whole view.

In transmitted light a grain that travels with a spheroid, within its outline, is no detection of
its own. It shows as a dark spot that stays where it is, or creeps straight on, from view to view;
what sticks to the spheroid or belongs to it rolls along with it, by 15 to 23 degrees a frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sorter.compiled import compiled


class HiddenSettings(BaseModel):
    """When a dark spot is another body."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_views: int = Field(6, ge=3, description="with fewer views nothing is said")
    enough_views: int = Field(
        12, ge=3, description="of so many views more, only every second, third … is looked at"
    )
    interior: float = Field(
        0.8, gt=0, le=1, description="share of the radius within which spots are looked for"
    )
    dark: float = Field(
        0.5, gt=0, lt=1, description="grey of a spot over the interior's, below which it is dark"
    )
    dark_share: float = Field(0.8, gt=0, le=1, description="share of the views that show it dark")
    creep_um: float = Field(
        15.0, gt=0, description="how far it may creep from one view to the next, µm"
    )
    off_line_um: float = Field(
        14.0, gt=0, description="how far off the straight line of its way it may appear, µm"
    )
    on_line_share: float = Field(
        0.8, gt=0, le=1, description="share of the views in which it is no farther off"
    )


def hides_body(
    crops: Sequence[NDArray[np.uint8]],
    diameter_um: float,
    pitch_um: float,
    settings: HiddenSettings,
) -> bool:
    """Whether the views of one spheroid show another body that travels with it.

    Args:
        crops: of each view (size, size), centred, in order of time; background is bright.
        diameter_um: of the spheroid.
        pitch_um: of the crops, µm per pixel.
        settings: the limits.
    """
    if len(crops) < settings.min_views:
        return False
    stride = max(1, len(crops) // settings.enough_views)
    looked_at = np.stack(crops[::stride])
    radius_px = settings.interior * diameter_um / 2 / pitch_um
    # Where the first ones, so many that the share can't be reached, have no spot, that is all.
    n = len(looked_at)
    first = 1 + sum((n - bright) / n >= settings.dark_share for bright in range(1, n))
    if not np.any(dark_spots(looked_at[:first], radius_px)[1] < settings.dark):
        return False
    places, darkness = dark_spots(looked_at, radius_px)
    if np.mean(darkness < settings.dark) < settings.dark_share:
        return False
    creeps, off = straight_way(places * pitch_um)
    return bool(
        creeps <= settings.creep_um * stride
        and np.mean(off <= settings.off_line_um) >= settings.on_line_share
    )


def straight_way(places_um: NDArray[np.floating]) -> tuple[float, NDArray[np.float64]]:
    """The straight way, at an even pace, that most of successive places lie on.

    Medians of all pairs' slopes (H. Theil, "A rank-invariant method of linear and polynomial
    regression analysis", Proc. Kon. Ned. Akad. Wet. A 53 (1950) 386): a few views in which
    something else was darkest don't matter.

    Args:
        places_um: (n, 2), n at least 2.

    Returns:
        How far it goes from one place to the next, and (n,) how far each place is off the way.
    """
    n = len(places_um)
    first, second = np.triu_indices(n, k=1)
    pace = np.median((places_um[second] - places_um[first]) / (second - first)[:, None], axis=0)
    from_start = places_um - np.arange(n)[:, None] * pace
    off = from_start - np.median(from_start, axis=0)
    return float(np.hypot(*pace)), np.asarray(np.hypot(off[:, 0], off[:, 1]))


@compiled
def dark_spots(
    crops: NDArray[np.uint8], radius_px: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The darkest spot of three by three pixels within a circle around the centre of each crop.

    Args:
        crops: (n, size, size).
        radius_px: of the circle.

    Returns:
        (n, 2) x and y in pixels, and (n,) grey of the spot over the mean grey of the circle.
    """
    n, size, _ = crops.shape
    middle, radius_px = (size - 1) / 2, max(radius_px, 1.5)
    first = max(1, math.ceil(middle - radius_px))
    places, darkness = np.zeros((n, 2), np.int64), np.empty(n, np.float64)
    for i in range(n):
        crop = crops[i]
        darkest, total, count = 256, 0, 0
        for y in range(first, size - first):
            reach = math.sqrt(max(radius_px**2 - (y - middle) ** 2, 0.0))
            for x in range(max(first, math.ceil(middle - reach)), size - first):
                if x > middle + reach:
                    break
                grey = _mean_of_nine(crop, x, y)
                total += grey
                count += 1
                if grey < darkest:
                    darkest = grey
                    places[i, 0], places[i, 1] = x, y
        darkness[i] = darkest / max(total / count, 1.0)
    return places, darkness


@compiled
def _mean_of_nine(crop: NDArray[np.uint8], x: int, y: int) -> int:
    """Of a pixel and its neighbours, rounded."""
    total = 0
    for row in range(y - 1, y + 2):
        for column in range(x - 1, x + 2):
            total += crop[row, column]
    return (2 * total + 9) // 18
