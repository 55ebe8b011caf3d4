"""Hulls and notches against OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sorter.hull import hull_area, hull_of, notches
from tests.sorter.blobs import Chain, chains


def test_the_area_is_that_of_opencv() -> None:
    for chain in chains(seed=0, count=400):
        assert hull_area(chain) == cv2.contourArea(cv2.convexHull(chain))


def test_the_corners_are_those_of_opencv() -> None:
    for chain in chains(seed=1, count=400):
        theirs = cv2.convexHull(chain)[:, 0, :].tolist()
        corners = hull_of(chain)
        assert sorted(chain[corners].tolist()) == sorted(theirs)
        assert (np.diff(corners) < 0).all()


def _crosses_itself(chain: Chain) -> bool:
    return len(np.unique(chain, axis=0)) < len(chain)


def test_the_notches_are_those_of_opencv() -> None:
    compared = 0
    for chain in chains(seed=2, count=800):
        corners = np.asarray(hull_of(chain), np.int32)
        # A pixel that is passed twice may be a corner by either of its places in the chain.
        if len(corners) < 4 or _crosses_itself(chain):
            continue
        theirs = cv2.convexityDefects(chain, corners)
        expected = [] if theirs is None else theirs.reshape(-1, 4)[:, 2:].tolist()
        at, depths = notches(chain, hull_of(chain))
        ours = [[int(i), round(256 * depth)] for i, depth in zip(at, depths, strict=True)]
        assert sorted(ours) == sorted(expected)
        compared += 1
    assert compared > 500


def test_the_depth_of_a_drawn_notch() -> None:
    mask = np.full((40, 60), 255, np.uint8)
    mask[:13, 30] = 0
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    chain = np.ascontiguousarray(found[0][:, 0, :], np.int32)
    at, depths = notches(chain, hull_of(chain))
    assert len(at) == 1
    assert depths[0] == pytest.approx(13.0, abs=1.0)
