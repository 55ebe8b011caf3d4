"""The adaptive background: drifting light, bodies that stand still, dust that stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sorter.background import BACKGROUND_LEVEL, Background, BackgroundSettings
from sorter.segment import Segmenter, SegmentSettings
from tests.sorter.drawn import Ellipse, disc, frame, vignetted

SHAPE = (160, 320)
LIGHT = vignetted(SHAPE)
PITCH_UM = 1.73


def segmenter(**background: int) -> Segmenter:
    settings = SegmentSettings(background=BackgroundSettings(**background))
    return Segmenter(settings, pitch_um=PITCH_UM, shape=SHAPE, bit_depth=8)


def relative_error(made: Segmenter, brightness: float) -> float:
    """Largest difference of the learned map to the true light, relative."""
    step = SHAPE[0] // made.background.shape[0]
    true = LIGHT.reshape(SHAPE[0] // step, step, SHAPE[1] // step, step).mean(axis=(1, 3))
    level = made.background.level * made.background.gain
    return float(np.abs(level / (true * brightness * 255) - 1).max())


def test_it_learns_the_light_around_bodies_that_move() -> None:
    made = segmenter()
    for i in range(60):
        body = disc(30 + 9 * (i % 30), 80, 30)
        made.detect(frame(SHAPE, [body], light=LIGHT, noise=0.012, seed=i))
    assert relative_error(made, 0.65) < 0.015


def test_it_follows_light_that_drifts() -> None:
    made = segmenter()
    for i in range(240):
        brightness = 0.65 * (1 + 0.15 * np.sin(i / 40))
        body = disc(20 + 7 * (i % 40), 80, 28)
        pixels = frame(SHAPE, [body], light=LIGHT, brightness=brightness)
        found = made.detect(pixels)
        assert len(found) == 1
    assert relative_error(made, brightness) < 0.01


def test_flicker_makes_no_objects_and_changes_no_area() -> None:
    made = segmenter()
    areas = []
    for i in range(40):
        brightness = 0.65 * (1 + 0.1 * (-1) ** i)
        found = made.detect(frame(SHAPE, [disc(150, 80, 30)], light=LIGHT, brightness=brightness))
        areas.append(found[0].area_um2)
        assert len(found) == 1
    assert max(areas) / min(areas) < 1.02


def test_a_body_that_stands_still_for_10_s_is_not_learned() -> None:
    made = segmenter()
    pixels = [frame(SHAPE, [disc(150, 80, 30)], light=LIGHT, noise=0.01, seed=i) for i in range(7)]
    first = made.detect(pixels[0])
    for i in range(2000):  # 10 s at 200 frames a second
        last = made.detect(pixels[i % 7])
    assert len(first) == len(last) == 1
    assert last[0].area_um2 == pytest.approx(first[0].area_um2, rel=0.02)


def test_what_stays_for_long_becomes_background() -> None:
    made = segmenter(absorb_after_frames=200)
    pixels = frame(SHAPE, [disc(150, 80, 12, light=0.8)], light=LIGHT)
    counts = [len(made.detect(pixels)) for _ in range(260)]
    assert counts[100] == 1
    assert counts[-1] == 0


def test_a_body_that_moves_is_never_absorbed() -> None:
    made = segmenter(absorb_after_frames=100)
    for i in range(200):
        pixels = frame(SHAPE, [disc(40 + 1.2 * i, 80, 30)], light=LIGHT)
        assert len(made.detect(pixels)) == 1


def test_the_gain_survives_bodies_over_a_third_of_the_frame() -> None:
    background = Background((40, 80))
    background.start(np.full((40, 80), 100.0, np.float32))
    reduced = np.full((40, 80), 90, np.uint8)
    reduced[:, :27] = 30
    out = np.empty((40, 80), np.uint8)
    background.normalise(reduced, out)
    assert background.gain == pytest.approx(0.9)
    assert (out[:, 27:] == BACKGROUND_LEVEL).all()
    assert (out[:, :27] == round(BACKGROUND_LEVEL / 3)).all()


def test_it_is_not_ready_before_it_has_started() -> None:
    background = Background((40, 80))
    assert not background.ready
    background.start(np.full((40, 80), 100.0, np.float32))
    assert background.ready


def test_a_segmenter_starts_from_its_first_frame() -> None:
    made = segmenter()
    assert not made.background.ready
    bodies: list[Ellipse] = [disc(100, 80, 35), disc(230, 90, 30, light=0.4, inner=0.85)]
    found = made.detect(frame(SHAPE, bodies, light=LIGHT, noise=0.012))
    assert made.background.ready
    assert len(found) == 2
    assert relative_error(made, 0.65) < 0.06


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_it_learns_as_opencv_and_numpy_do(dtype: type[np.unsignedinteger]) -> None:
    """Frame by frame against a running average and counts that are kept in plain NumPy."""
    rng = np.random.default_rng(5)
    shape, every, enough, change, rate = (24, 40), 2, 8, 0.04, 0.1
    settings = BackgroundSettings(
        update_every=every, rate=rate, warm_up_updates=1, absorb_after_frames=enough
    )
    made, light = Background(shape, settings), rng.uniform(90, 200, shape).astype(np.float32)
    made.start(light)
    level, grey = light.copy(), np.zeros(shape, np.float32)
    count, updates, absorbed = np.zeros(shape), 1, 0
    for i in range(1, 60):
        frame_ = (light * rng.uniform(0.9, 1.1) + rng.normal(0, 2, shape)).astype(dtype)
        occupied = np.zeros(shape, np.uint8)
        occupied[5:12, 6:18] = occupied[:, i % 30 : i % 30 + 5] = 255
        frame_[6:11, 8:16] = 60 if i < 30 else 140
        made.normalise(frame_, np.empty(shape, np.uint8))
        made.update(frame_, occupied)
        is_warm = updates > 1
        if is_warm and i % every:
            continue
        updates += 1
        steady = frame_.astype(np.float32) / np.float32(made.gain)
        share = max(rate, 1 / updates)
        cv2.accumulateWeighted(steady, level, share, (occupied == 0).astype(np.uint8))
        if is_warm:
            moved = (np.abs(steady - grey) > np.float32(change) * level) | (occupied == 0)
            count = np.where(moved, 0, count + every)
            grey = np.where(moved, steady, grey)
            level = np.where(count >= enough, steady, level)
            absorbed += int((count >= enough).sum())
            count[count >= enough] = 0
        assert made.level == pytest.approx(level, rel=1e-6)
    assert absorbed > 0
