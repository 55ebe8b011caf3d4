"""The simulated camera sensor: illumination, vignetting, motion blur, noise, digitisation.

Noise is drawn once and reused at random shifts: drawing it anew costs 10 to 40 ms a frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from drivers.ports import Pixels
from hardware_sim.bodies import Patch
from sorter.compiled import compiled

_NOISE_MARGIN_PX = 96
_STEPS_PER_DN = 16


class OpticsSettings(BaseModel):
    """Light, lens and sensor of the simulated rig."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    brightness: float = Field(
        default=0.62, gt=0.0, lt=1.0, description="background as a share of full scale, 0 to 1"
    )
    vignetting: float = Field(
        default=0.12, ge=0.0, lt=1.0, description="share of the light lost in the corners"
    )
    tilt: float = Field(
        default=0.03, ge=0.0, lt=0.5, description="light gained or lost across the frame, share"
    )
    light_drift: float = Field(
        default=0.02, ge=0.0, lt=0.5, description="amplitude of the slow drift, share"
    )
    light_drift_period_s: float = Field(
        default=120.0, gt=0.0, description="period of the slow drift in s"
    )
    flicker: float = Field(
        default=0.002, ge=0.0, lt=0.1, description="standard deviation from frame to frame, share"
    )
    full_well_e: float = Field(
        default=10_000.0, gt=0.0, description="electrons of a pixel at full scale"
    )
    read_noise_e: float = Field(default=6.0, ge=0.0, description="read noise in electrons")
    dust: int = Field(default=4, ge=0, description="faint spots that stay in place, count")
    exposure_us: float = Field(default=40.0, ge=0.0, description="exposure (strobe) in µs")
    typical_speed_mm_s: float = Field(
        default=15.0, ge=0.0, description="speed of the bodies, for the motion blur, in mm/s"
    )
    pitch_um: float = Field(default=1.73, gt=0.0, description="µm per pixel in the object plane")
    depth_of_field_um: float = Field(
        default=100.0, gt=0.0, description="depth of field in µm; the rig's is 50 to 150"
    )

    @property
    def motion_blur_px(self) -> float:
        """Path of a typical body during the exposure, in pixels, at most 1."""
        path_um = self.exposure_us * 1e-6 * self.typical_speed_mm_s * 1e3
        return min(1.0, path_um / self.pitch_um)


class Sensor:
    """Turns transmission patches into camera frames.

    Args:
        width_px, height_px: frame size.
        bit_depth: 8 gives uint8 frames, 9 to 16 uint16.
        settings: light, lens and noise.
        seed: of vignetting centre, dust, noise and drift.
    """

    def __init__(
        self, width_px: int, height_px: int, bit_depth: int, settings: OpticsSettings, seed: int
    ) -> None:
        if not 8 <= bit_depth <= 16:
            raise ValueError(f"bit depth must be 8 to 16, not {bit_depth}")
        self._settings = settings
        self._rng = np.random.default_rng([seed, 7])
        self._bit_depth = bit_depth
        self._dtype: type[np.uint8] | type[np.uint16] = np.uint8 if bit_depth == 8 else np.uint16
        self._phase = float(self._rng.uniform(0.0, 2 * np.pi))
        self._flicker = self._rng.normal(0.0, settings.flicker, 4096)
        self._shape = (height_px, width_px)
        # Working unit: 1/16 of a grey value at 8 bit, so that int16 holds light and noise exactly
        # enough at any bit depth and adding them is one pass over memory.
        full_scale = 255.0 * _STEPS_PER_DN
        light = settings.brightness * full_scale * self._illumination()
        self._light = np.rint(light).astype(np.int16)
        electrons = settings.brightness * settings.full_well_e
        sigma_e = float(np.sqrt(electrons + settings.read_noise_e**2))
        self._read_share = settings.read_noise_e**2 / sigma_e**2
        margin = (height_px + _NOISE_MARGIN_PX, width_px + _NOISE_MARGIN_PX)
        sigma = sigma_e / settings.full_well_e * full_scale
        noise = self._rng.standard_normal(margin, dtype=np.float32) * np.float32(sigma)
        self._noise = np.rint(noise).astype(np.int16)
        self._work = np.empty(self._shape, np.int16)
        # Where nothing dims the light it can't fall below zero, then, and nobody needs to look.
        self._is_bright = int(self._light.min()) + int(self._noise.min()) >= 0
        path = settings.motion_blur_px
        self._smear_kernel = np.array([[path / 4, 1 - path / 2, path / 4]], np.float32)

    @property
    def settings(self) -> OpticsSettings:
        """What it was made with."""
        return self._settings

    def level(self, time_s: float) -> float:
        """Light at that time relative to the mean, by the slow drift alone."""
        turn = 2 * np.pi * time_s / self._settings.light_drift_period_s
        return 1.0 + self._settings.light_drift * float(np.sin(turn + self._phase))

    def background(self) -> NDArray[np.float32]:
        """(height, width) noiseless empty frame at the mean light, in grey values."""
        scale = 2.0 ** (self._bit_depth - 8) / _STEPS_PER_DN
        return np.asarray(self._light * np.float32(scale), dtype=np.float32)

    def expose(
        self, patches: Sequence[Patch], *, time_s: float, out: Pixels | None = None
    ) -> Pixels:
        """Expose one frame.

        Args:
            patches: what dims the light; patches that overlap multiply.
            time_s: scene time, for the drift of the light.
            out: (height, width) array of the sensor's type to write into, or None for a new one.

        Returns:
            The frame, ``out`` itself where it was given.
        """
        pixels: Pixels = np.empty(self._shape, self._dtype) if out is None else out  # type: ignore[assignment]
        y, x = (int(v) for v in self._rng.integers(0, _NOISE_MARGIN_PX, 2))
        noise = self._noise[y : y + self._shape[0], x : x + self._shape[1]]
        cv2.add(self._light, noise, dst=self._work)
        may_be_dark = [] if self._is_bright else [self._work]
        for patch in patches:
            if (region := self._region_of(patch)) is None:
                continue
            transmission = self._smear(patch.transmission)
            _dim(self._work, noise, transmission, patch.x0_px, patch.y0_px, self._read_share)
            may_be_dark.append(self._work[region])
        if self._bit_depth == 8:
            # Negative values can't be told from positive ones by convertScaleAbs.
            for part in may_be_dark:
                cv2.threshold(part, 0, 0, cv2.THRESH_TOZERO, dst=part)
        flicker = float(self._flicker[self._rng.integers(0, len(self._flicker))])
        level = self.level(time_s) * (1.0 + flicker)
        return self._digitise(level, pixels)

    def _region_of(self, patch: Patch) -> tuple[slice, slice] | None:
        """The rows and columns of the frame that a patch dims; None if none of them."""
        (height, width), (h, w) = self._shape, patch.transmission.shape
        x0, x1 = max(0, patch.x0_px), min(width, patch.x0_px + w)
        y0, y1 = max(0, patch.y0_px), min(height, patch.y0_px + h)
        return None if x0 >= x1 or y0 >= y1 else (slice(y0, y1), slice(x0, x1))

    def _smear(self, transmission: NDArray[np.float32]) -> NDArray[np.float32]:
        """Blur along x by the path travelled during the exposure (a box of at most 1 px)."""
        if self._settings.motion_blur_px <= 0.0:
            return transmission
        smeared = cv2.filter2D(
            transmission, -1, self._smear_kernel, borderType=cv2.BORDER_REPLICATE
        )
        return np.asarray(smeared, np.float32)

    def _digitise(self, level: float, pixels: Pixels) -> Pixels:
        if self._bit_depth == 8:
            cv2.convertScaleAbs(self._work, dst=pixels, alpha=level / _STEPS_PER_DN)
            return pixels
        top = float(2**self._bit_depth - 1)
        scaled = self._work * np.float32(level * 2.0 ** (self._bit_depth - 8) / _STEPS_PER_DN)
        np.clip(np.rint(scaled, out=scaled), 0.0, top, out=scaled)
        pixels[...] = scaled.astype(np.uint16)
        return pixels

    def _illumination(self) -> NDArray[np.float32]:
        """(height, width) light relative to the brightest spot: vignetting, tilt and dust."""
        height, width = self._shape
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        cx, cy = (0.5 + self._rng.uniform(-0.12, 0.12, 2)) * (width, height)
        reach = float(np.hypot(max(cx, width - cx), max(cy, height - cy)))
        share = ((x - cx) ** 2 + (y - cy) ** 2) / reach**2
        turn = float(self._rng.uniform(0.0, 2 * np.pi))
        along = (np.cos(turn) * (x / width - 0.5) + np.sin(turn) * (y / height - 0.5)) * 2
        field = (1.0 - self._settings.vignetting * share) * (1.0 + self._settings.tilt * along)
        for _ in range(self._settings.dust):
            dx, dy = self._rng.uniform(0.0, (width, height))
            size = self._rng.uniform(4.0, 14.0)
            depth = self._rng.uniform(0.01, 0.04)
            field *= 1.0 - depth * np.exp(-((x - dx) ** 2 + (y - dy) ** 2) / (2 * size**2))
        return np.asarray(field, dtype=np.float32)


@compiled
def _dim(
    work: NDArray[np.int16],
    noise: NDArray[np.int16],
    transmission: NDArray[np.float32],
    x0: int,
    y0: int,
    read_share: float,
) -> None:
    """Multiply the light there, with the shot noise scaled to what is left of it.

    It is given whole arrays, not the parts that overlap: those come in several memory layouts, and
    each would be compiled for itself.
    """
    shot, read = np.float32(1.0 - read_share), np.float32(read_share)
    low, high = np.float32(-(2**15)), np.float32(2**15 - 1)
    left, right = max(0, x0), min(work.shape[1], x0 + transmission.shape[1])
    for y in range(max(0, y0), min(work.shape[0], y0 + transmission.shape[0])):
        row, own_noise = work[y, left:right], noise[y, left:right]
        passes = transmission[y - y0, left - x0 : right - x0]
        for x in range(len(row)):
            signal = np.float32(row[x] - own_noise[x]) * passes[x]
            scaled = np.sqrt(passes[x] * shot + read) * np.float32(own_noise[x])
            row[x] = np.int16(min(max(np.rint(signal + scaled), low), high))
