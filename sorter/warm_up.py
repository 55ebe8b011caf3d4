"""Compiles what the loop needs, before the first frame comes.

``python -m sorter.warm_up`` does it for all frames, so that the first start need not.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sorter.background import Background, BackgroundSettings
from sorter.beat import Beat
from sorter.descent import passage_of_descents_s
from sorter.find import Finder, FindSettings, View
from sorter.grid import Grid, Pyramid
from sorter.hidden import dark_spots
from sorter.jolts import jolted_ns
from sorter.liquid import Liquid, LiquidSettings, Opening
from sorter.motion import fit_motion
from sorter.neighbours import paint_over
from sorter.sinking import ChannelSettings
from sorter.speck import deficit_um2

_SIDE_PX = 256
_PITCH_UM = 2.0
_GREY = 200  # of the background


def warm_up_finding(dtype: np.dtype[Any]) -> None:
    """Find bodies of every kind once, in a drawn frame, and cut one out.

    Compiling takes half a minute, once after an installation; loading what was compiled less than a
    second; and a millisecond when it is loaded.

    Args:
        dtype: of the frames that are to come, uint8 or uint16.
    """
    pixels = _drawn().astype(dtype)
    grid = Grid.fit(pixels.shape, _PITCH_UM, FindSettings().coarsest_um)
    levels = Pyramid(grid, pixels.dtype).build(pixels)
    background = Background(grid.cells, BackgroundSettings(update_every=1, warm_up_updates=1))
    background.start(np.full(grid.cells, _GREY, np.float32))
    grey = background.normalise(levels[-1], np.empty(grid.cells, np.uint8))
    finder = Finder(FindSettings(), pitch_um=_PITCH_UM, grid=grid)
    found = finder.find(View(levels, grey, background.level, background.gain))
    for _ in range(2):  # the second time it is warm
        background.update(levels[-1], finder.occupied)
    deficit_um2(pixels, found[0], pitch_um=_PITCH_UM)
    crop = _drawn()
    paint_over(crop, np.zeros_like(crop), _GREY, 0.1 * _GREY)


def warm_up_ways() -> None:
    """Do once what tells when a body arrives, and whether another one hides in it."""
    liquid, opening = Liquid(LiquidSettings()), Opening("collect", 0, 1)
    liquid.at(2, [opening])
    liquid.first_passage_ns(2.0, [opening])
    t_s = np.linspace(0.0, 1.0, 6)
    fit_motion(t_s, t_s, noise_um=1.0, roll_s=0.1)
    jolted_ns(t_s, t_s, 2.0)
    beat = Beat(0.0, 0.0, 1.0, 0, np.eye(3), 1.0, 0.0, 0.0)
    beat.error_ns(np.arange(6, dtype=np.int64), 10.0)
    passage_of_descents_s(
        t_s,
        9e3 * t_s,
        2e4,
        diameters_um=(30.0, 60.0),
        looks_um=45.0,
        channel=ChannelSettings(),
        noise_um=2.0,
        pump_um=0.0,
        valve_um=0.0 * t_s,
    )
    dark_spots(np.full((1, 8, 8), _GREY, np.uint8), 2.0)


def _drawn() -> NDArray[np.uint8]:
    """A round body, two that touch, a bent one, and a pale one that the border cuts."""
    pixels = np.full((_SIDE_PX, _SIDE_PX), _GREY, np.uint8)
    for centre, radius in (((50, 50), 15), ((60, 130), 20), ((98, 130), 20)):
        cv2.circle(pixels, centre, radius, _GREY // 2, -1)
    cv2.ellipse(pixels, (200, 60), (30, 30), 0, 0, 180, _GREY // 2, 14)
    cv2.circle(pixels, (190, 255), 40, _GREY // 2, 6)
    return pixels


if __name__ == "__main__":
    for each in (np.uint8, np.uint16):
        warm_up_finding(np.dtype(each))
    warm_up_ways()
