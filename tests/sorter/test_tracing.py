"""Borders against OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np

from sorter.tracing import MOST_VISITS, chains_of, split, trace
from tests.sorter.blobs import masks, rimmed


def test_borders_are_those_of_opencv() -> None:
    for mask in masks(seed=0, count=600):
        theirs, _ = cv2.findContours(
            mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(70, 30)
        )
        ours = chains_of(rimmed(mask), 69, 29)
        assert len(ours) == len(theirs)
        for own, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(own, other[:, 0, :])


def test_small_ones_are_counted_and_left_out() -> None:
    least = 20.0
    for mask in masks(seed=1, count=300):
        found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        large = [c for c in found if cv2.contourArea(c) + len(c) / 2 + 1 >= least]
        buffer, ends = np.empty((MOST_VISITS * mask.size, 2), np.int32), np.empty(99, np.int64)
        kept, every = trace(rimmed(mask), -1, -1, least, buffer, ends)
        assert (kept, every) == (len(large), len(found))
        for own, other in zip(split(buffer, ends, kept), large, strict=True):
            np.testing.assert_array_equal(own, other[:, 0, :])


def test_no_more_chains_than_there_is_room_for() -> None:
    mask = np.zeros((9, 9), np.uint8)
    mask[1::2, 1::2] = 255
    buffer, ends = np.empty((MOST_VISITS * mask.size, 2), np.int32), np.empty(3, np.int64)
    assert trace(mask, 0, 0, 0.0, buffer, ends) == (3, 16)


def test_what_is_inside_is_filled() -> None:
    for mask in masks(seed=2, count=300):
        found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        filled = cv2.drawContours(np.zeros_like(mask), found, -1, 255, -1)
        traced = rimmed(mask)
        buffer, ends = np.empty((MOST_VISITS * mask.size, 2), np.int32), np.empty(999, np.int64)
        trace(traced, 0, 0, 0.0, buffer, ends)
        np.testing.assert_array_equal(traced[1:-1, 1:-1] > 0, filled > 0)


def test_chains_fit_the_room_that_is_asked_for() -> None:
    worst = max(
        sum(map(len, chains_of(rimmed(mask)))) / np.count_nonzero(mask)
        for mask in masks(seed=3, count=400)
        if mask.any()
    )
    assert worst <= MOST_VISITS
