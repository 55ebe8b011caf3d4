"""Measures of outlines against OpenCV's."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from sorter.outline import area_within, elongation_of, measure
from tests.sorter.blobs import chains


def test_they_are_those_of_opencv() -> None:
    for chain in chains(seed=0, count=300):
        m = cv2.moments(chain)
        outline = measure(chain)
        assert area_within(chain) == m["m00"]
        assert outline.area == m["m00"] + len(chain) / 2 + 1
        assert outline.box == cv2.boundingRect(chain)
        length = cv2.arcLength(chain, True)
        assert outline.perimeter == pytest.approx(0.948 * length + math.pi, rel=1e-12)
        hull = cv2.contourArea(cv2.convexHull(chain))
        assert outline.solidity == (pytest.approx(m["m00"] / hull) if hull > 0 else 1.0)
        if m["m00"] > 0:
            assert outline.x == pytest.approx(m["m10"] / m["m00"], rel=1e-12)
            assert outline.y == pytest.approx(m["m01"] / m["m00"], rel=1e-12)


@pytest.mark.parametrize("turn_deg", [0, 30, 77])
def test_elongation_of_an_ellipse(turn_deg: int) -> None:
    mask = np.zeros((300, 300), np.uint8)
    cv2.ellipse(mask, (150, 150), (120, 60), turn_deg, 0, 360, 255, -1)
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    chain = np.ascontiguousarray(found[0][:, 0, :], np.int32)
    assert elongation_of(chain) == pytest.approx(2.0, abs=0.03)


def test_a_line_has_no_inside() -> None:
    line = np.array([[3, 7], [4, 7], [5, 7], [6, 7], [5, 7], [4, 7]], np.int32)
    outline = measure(line)
    assert (outline.x, outline.y, outline.elongation) == (4.5, 7.0, 4.0)
    assert outline.area == 4.0
