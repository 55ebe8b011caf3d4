"""The simulated sensor: light, noise, blur and bit depth against what the settings say."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from hardware_sim.bodies import Patch
from hardware_sim.optics import OpticsSettings, Sensor

FLAT = OpticsSettings(vignetting=0.0, tilt=0.0, dust=0, light_drift=0.0, flicker=0.0)
QUIET = FLAT.model_copy(update={"read_noise_e": 0.0, "full_well_e": 1e9})


def sensor(settings: OpticsSettings, bit_depth: int = 8, seed: int = 1) -> Sensor:
    return Sensor(320, 200, bit_depth, settings, seed)


def patch(value: float, x0: int, y0: int, size: int = 40) -> Patch:
    return Patch(np.full((size, size), value, np.float32), x0, y0)


@pytest.mark.parametrize("bit_depth", [8, 10, 12, 14, 16])
def test_an_empty_frame_has_the_set_brightness(bit_depth: int) -> None:
    frame = sensor(QUIET, bit_depth).expose([], time_s=0.0)
    assert frame.dtype == (np.uint8 if bit_depth == 8 else np.uint16)
    assert frame.shape == (200, 320)
    assert frame.mean() / (2**bit_depth - 1) == pytest.approx(QUIET.brightness, rel=0.01)


@pytest.mark.parametrize(
    ("full_well_e", "read_noise_e"), [(10_000.0, 6.0), (4_000.0, 0.0), (20_000.0, 80.0)]
)
def test_noise_is_shot_noise_and_read_noise(full_well_e: float, read_noise_e: float) -> None:
    settings = FLAT.model_copy(update={"full_well_e": full_well_e, "read_noise_e": read_noise_e})
    camera = sensor(settings)
    frames = np.stack([camera.expose([], time_s=t / 10) for t in range(6)]).astype(float)
    electrons = settings.brightness * full_well_e
    expected = np.sqrt(electrons + read_noise_e**2) / full_well_e * 255.0
    # Rounding to whole grey values adds 1/12.
    assert frames.std() == pytest.approx(np.sqrt(expected**2 + 1 / 12), rel=0.05)


def test_dark_places_have_less_noise() -> None:
    camera = sensor(FLAT.model_copy(update={"full_well_e": 2_000.0}))
    frame = camera.expose([patch(0.25, 100, 50, 80)], time_s=0.0).astype(float)
    dark, bright = frame[55:125, 105:175].std(), frame[:, 200:].std()
    assert dark / bright == pytest.approx(0.5, rel=0.12)


def test_noise_changes_from_frame_to_frame() -> None:
    camera = sensor(FLAT)
    first, second = (camera.expose([], time_s=0.0).astype(float) for _ in range(2))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.02


def test_patches_multiply_the_light_and_are_cut_at_the_border() -> None:
    camera = sensor(QUIET.model_copy(update={"exposure_us": 0.0}))
    empty = camera.expose([], time_s=0.0).astype(float)
    patches = [patch(0.5, -20, -20), patch(0.5, 100, 60), patch(0.8, 120, 60), patch(0.1, 900, 0)]
    frame = camera.expose(patches, time_s=0.0).astype(float)
    share = frame / empty
    assert share[10, 10] == pytest.approx(0.5, abs=0.02)
    assert share[80, 110] == pytest.approx(0.5, abs=0.02)
    assert share[80, 130] == pytest.approx(0.4, abs=0.02)
    assert share[80, 150] == pytest.approx(0.8, abs=0.02)
    assert share[150, 250] == pytest.approx(1.0, abs=0.02)


def test_motion_blur_is_the_path_during_the_exposure() -> None:
    settings = QUIET.model_copy(update={"exposure_us": 40.0, "typical_speed_mm_s": 20.0})
    assert settings.motion_blur_px == pytest.approx(0.8 / 1.73)
    line = np.ones((9, 9), np.float32)
    line[:, 4] = 0.0
    blurred = sensor(settings).expose([Patch(line, 100, 100)], time_s=0.0)[104, 100:109]
    still = sensor(settings.model_copy(update={"exposure_us": 0.0}))
    sharp = still.expose([Patch(line, 100, 100)], time_s=0.0)[104, 100:109]
    assert sharp[4] == 0
    assert blurred[4] > 10
    assert blurred[3] < sharp[3] - 5
    # No light is lost by it.
    assert blurred.sum() == pytest.approx(float(sharp.sum()), rel=0.01)


def test_vignetting_and_tilt_dim_the_corners() -> None:
    dim = sensor(QUIET.model_copy(update={"vignetting": 0.3})).background()
    assert dim.max() == pytest.approx(QUIET.brightness * 255, rel=0.01)
    assert dim.min() / dim.max() == pytest.approx(0.7, abs=0.03)
    tilted = sensor(QUIET.model_copy(update={"tilt": 0.1})).background()
    assert 1.1 < tilted.max() / tilted.min() < 1.4


def test_dust_stays_in_place() -> None:
    background = sensor(QUIET.model_copy(update={"dust": 5})).background()
    assert background.min() < 0.993 * background.max()


def test_light_drifts_slowly_and_flickers() -> None:
    drifting = sensor(QUIET.model_copy(update={"light_drift": 0.1, "light_drift_period_s": 8.0}))
    means = [float(drifting.expose([], time_s=t).mean()) for t in np.arange(0.0, 8.0, 0.5)]
    assert max(means) / min(means) == pytest.approx(1.1 / 0.9, rel=0.03)
    assert drifting.level(1.0) == pytest.approx(drifting.level(9.0))
    flickering = sensor(QUIET.model_copy(update={"flicker": 0.02}))
    means = [float(flickering.expose([], time_s=0.0).mean()) for _ in range(60)]
    assert np.std(means) / np.mean(means) == pytest.approx(0.02, rel=0.4)


@pytest.mark.parametrize("full_well_e", [10_000.0, 60.0], ids=["bright", "dark"])
def test_only_what_is_touched_is_worked_out_but_the_frame_is_the_same(full_well_e: float) -> None:
    """Against one pass after the other over the whole frame, at 8 bit, to the bit."""
    settings = FLAT.model_copy(update={"full_well_e": full_well_e, "exposure_us": 0.0})
    camera, twin = sensor(settings), sensor(settings)
    rng = np.random.default_rng(3)
    patches = [
        Patch(rng.uniform(0.02, 1.9, (30, 40)).astype(np.float32), x, y)
        for x, y in ((-10, -5), (20, 10), (40, 20), (300, 190), (500, 20))
    ]
    frame = camera.expose(patches, time_s=0.0)
    y, x = (int(v) for v in twin._rng.integers(0, 96, 2))
    noise = twin._noise[y : y + 200, x : x + 320].astype(np.int32)
    work = twin._light.astype(np.int32) + noise
    for one in patches:
        whole = np.ones((1200, 1200), np.float32)
        whole[500 + one.y0_px : 530 + one.y0_px, 500 + one.x0_px : 540 + one.x0_px] = (
            one.transmission
        )
        t = whole[500:700, 500:820]
        share = np.sqrt(t * np.float32(1 - twin._read_share) + np.float32(twin._read_share))
        dimmed = (work - noise).astype(np.float32) * t + noise.astype(np.float32) * share
        work = np.where(t == 1.0, work, np.clip(np.rint(dimmed), -32768, 32767).astype(np.int32))
    plain = np.clip(np.rint(np.maximum(work, 0) / 16.0), 0, 255).astype(np.uint8)
    assert twin._is_bright == (full_well_e > 1000)
    np.testing.assert_array_equal(frame, plain)


def test_the_same_seed_gives_the_same_frames_into_a_given_array() -> None:
    settings = OpticsSettings()
    out = np.empty((200, 320), np.uint8)
    first, second = sensor(settings), sensor(settings)
    for step in range(3):
        one = first.expose([patch(0.4, 30, 30)], time_s=step / 200)
        two = second.expose([patch(0.4, 30, 30)], time_s=step / 200, out=out)
        assert two is out
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(out, sensor(settings, seed=2).expose([], time_s=0.0))


def test_bright_spots_saturate() -> None:
    frame = sensor(FLAT).expose([patch(1.9, 10, 10)], time_s=0.0)
    assert frame[30, 30] == 255


def test_wrong_settings_are_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="vigneting"):
        OpticsSettings.model_validate({"vigneting": 0.1})
    with pytest.raises(ValueError, match="bit depth must be 8 to 16"):
        sensor(FLAT, bit_depth=7)
