"""The frames that speed is measured with hold what they say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sorter.bench_frames import LARGEST_UM, SMALLEST_UM, bench_frames
from sorter.errors import UsageError


@pytest.mark.parametrize(
    ("n", "width", "height"),
    [
        (0, 1280, 512),
        (1, 1280, 512),
        (16, 1280, 512),
        (32, 1280, 512),
        (16, 640, 480),
        (16, 2560, 1960),
    ],
)
def test_every_frame_holds_n_whole_bodies_apart(n: int, width: int, height: int) -> None:
    loop = bench_frames(n, width_px=width, height_px=height, length=4)
    for frame, centres in zip(loop.frames, loop.centres_px, strict=True):
        mask = (cv2.GaussianBlur(frame, (0, 0), 1.5) < 160).astype(np.uint8)
        count, labels, stats, found = cv2.connectedComponentsWithStats(mask)
        whole = stats[1:][stats[1:, cv2.CC_STAT_AREA] > 400]
        assert len(whole) == n, (count, labels.max())
        left, top = whole[:, 0], whole[:, 1]
        assert (left > 0).all()
        assert (top > 0).all()
        assert (left + whole[:, 2] < width).all()
        assert (top + whole[:, 3] < height).all()
        for centre in centres:
            assert np.hypot(*(found[1:] - centre).T).min() < 2.0


def test_sizes_are_what_they_say() -> None:
    loop = bench_frames(16, length=1)
    mask = (cv2.GaussianBlur(loop.frames[0], (0, 0), 1.0) < 160).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    for (x, y), diameter_um in zip(loop.centres_px[0].astype(int), loop.diameters_um, strict=True):
        area = stats[labels[y, x], cv2.CC_STAT_AREA] * loop.pitch_um**2
        assert 2 * np.sqrt(area / np.pi) == pytest.approx(diameter_um, rel=0.06)
        assert SMALLEST_UM <= diameter_um <= LARGEST_UM


def test_bodies_move_to_the_right_and_the_loop_closes() -> None:
    loop = bench_frames(16, length=64)
    x = loop.centres_px[:, :, 0]
    steps = np.diff(np.vstack([x, x[:1]]), axis=0)
    forward = steps[steps > 0]
    assert len(forward) > 0.9 * steps.size
    assert 30 <= forward.min() <= forward.max() <= 60
    assert (steps[steps < 0] < -900).all()  # left on the right, entered on the left


def test_the_same_seed_gives_the_same_frames() -> None:
    one, two, other = (bench_frames(4, length=2, seed=seed).frames for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_too_many_are_refused() -> None:
    with pytest.raises(UsageError, match="fewer"):
        bench_frames(40, width_px=640, height_px=480)
