"""The outlines of a body's lumps, from any side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_sim.anatomy import AZIMUTH_BINS, POLAR_BINS, Floats, Lump
from sorter.compiled import compiled

# An angle's number is one byte.
ANGLES = 256
_TILTS = np.deg2rad(np.array([-50.0, -32.0, -16.0, 0.0, 16.0, 32.0, 50.0])).astype(np.float32)
_COSINES = np.cos(_TILTS)


def _view() -> Floats:
    """(3, tilts, angles) unit vectors around the line of sight, the limb in the middle."""
    psi = np.arange(ANGLES, dtype=np.float32) * np.float32(2 * np.pi / ANGLES)
    cosines, sines = _COSINES[:, None], np.sin(_TILTS)[:, None]
    parts = [cosines * np.cos(psi), cosines * np.sin(psi), sines + 0 * psi]
    return np.asarray(np.stack(parts), dtype=np.float32)


_VIEW = _view()


@dataclass(frozen=True, slots=True)
class Outlined:
    """A lump with its outline from one side.

    Attributes:
        lump: what it is.
        radius_um, softness, rim: (`ANGLES`,) of the silhouette; softness is None where all of
            the lump's surface is sharp.
    """

    lump: Lump
    radius_um: Floats
    softness: Floats | None
    rim: Floats


class Silhouettes:
    """The outlines of one body's lumps, from any side.

    Exact for star-shaped lumps: the silhouette at an angle is the largest projected radius over
    all surface points of that azimuth.
    """

    def __init__(self, lumps: tuple[Lump, ...]) -> None:
        self._lumps = lumps
        self._is_soft = [bool(lump.surface[..., 1].any()) for lump in lumps]
        # (lumps, 3, rows): what is looked up together lies together.
        self._tables = np.zeros((len(lumps), 3, POLAR_BINS * AZIMUTH_BINS), np.float32)
        for table, lump in zip(self._tables, lumps, strict=True):
            table[:] = lump.surface.reshape(-1, 3).T

    def seen(self, turn: Floats) -> list[Outlined]:
        """The lumps with an attitude (3, 3), back to front."""
        lumps = self._lumps
        if not lumps:
            return []
        rows = np.empty(_VIEW.shape[1:], np.int32)
        surface_rows(_VIEW, turn, rows)
        outlines = np.empty((len(lumps), 3, ANGLES), np.float32)
        _outline(self._tables, rows, _COSINES, outlines)
        order = sorted(range(len(lumps)), key=lambda i: float(turn[2] @ lumps[i].centre_um))
        return [
            Outlined(
                lumps[i], outlines[i, 0], outlines[i, 1] if self._is_soft[i] else None,
                outlines[i, 2],
            )
            for i in order
        ]  # fmt: skip


@compiled
def surface_rows(view: Floats, turn: Floats, rows: NDArray[np.int32]) -> None:
    """Number the rows of a surface table that are nearest to directions, as seen.

    Polynomials instead of calls, so that it is done for several at once: Abramowitz and Stegun,
    Handbook of Mathematical Functions, 4.4.46 (off by 2e-8 rad) and 4.4.49 (1e-8).

    Args:
        view: (3, n, m) unit vectors, as seen.
        turn: (3, 3) attitude of the body.
        rows: (n, m), written to: what `hardware_sim.anatomy.surface_index` gives for the same
            directions in the body's own frame, where single precision allows.
    """
    zero, one, tiny = np.float32(0.0), np.float32(1.0), np.float32(1e-30)
    half_turn, quarter = np.float32(np.pi), np.float32(np.pi / 2)
    per_polar, per_azimuth = np.float32(POLAR_BINS / np.pi), np.float32(AZIMUTH_BINS / (2 * np.pi))
    t = turn.astype(np.float32)
    for i in range(rows.shape[0]):
        a, b, c, row = view[0, i], view[1, i], view[2, i], rows[i]
        for j in range(len(row)):
            x = a[j] * t[0, 0] + b[j] * t[1, 0] + c[j] * t[2, 0]
            y = a[j] * t[0, 1] + b[j] * t[1, 1] + c[j] * t[2, 1]
            z = a[j] * t[0, 2] + b[j] * t[1, 2] + c[j] * t[2, 2]
            up = min(abs(z), one)
            p = np.float32(-0.0012624911) * up + np.float32(0.0066700901)
            p = p * up + np.float32(-0.0170881256)
            p = p * up + np.float32(0.0308918810)
            p = p * up + np.float32(-0.0501743046)
            p = p * up + np.float32(0.0889789874)
            p = p * up + np.float32(-0.2145988016)
            p = (p * up + np.float32(1.5707963050)) * np.sqrt(one - up)
            polar = p if z >= zero else half_turn - p
            along, across = abs(x), abs(y)
            slope = min(along, across) / max(max(along, across), tiny)
            s = slope * slope
            q = np.float32(0.0028662257) * s + np.float32(-0.0161657367)
            q = q * s + np.float32(0.0429096138)
            q = q * s + np.float32(-0.0752896400)
            q = q * s + np.float32(0.1065626393)
            q = q * s + np.float32(-0.1420889944)
            q = q * s + np.float32(0.1999355085)
            q = q * s + np.float32(-0.3333314528)
            q = (q * s + one) * slope
            q = quarter - q if across > along else q
            q = half_turn - q if x < zero else q
            azimuth = -q if y < zero else q
            ring = min(np.int32(polar * per_polar), np.int32(POLAR_BINS - 1))
            place = min(np.int32((azimuth + half_turn) * per_azimuth), np.int32(AZIMUTH_BINS - 1))
            row[j] = ring * np.int32(AZIMUTH_BINS) + place


@compiled
def _outline(tables: Floats, rows: NDArray[np.int32], cosines: Floats, outlines: Floats) -> None:
    """Radius, softness and rim (lumps, 3, angles) from surface tables (lumps, 3, rows), each the
    mean of an angle and its neighbours."""
    third = np.float32(1 / 3)
    tilts, angles = rows.shape
    limb = rows[tilts // 2]
    around = np.empty((3, angles + 2), np.float32)
    for lump in range(len(tables)):
        radius, softness, rim = tables[lump]
        around[0] = 0.0
        for tilt in range(tilts):
            for i in range(angles):
                there = radius[rows[tilt, i]] * cosines[tilt]
                around[0, i + 1] = max(around[0, i + 1], there)
        for i in range(angles):
            around[1, i + 1], around[2, i + 1] = softness[limb[i]], rim[limb[i]]
        for part in range(3):
            line = around[part]
            line *= third
            line[0], line[-1] = line[-2], line[1]
            for i in range(angles):
                outlines[lump, part, i] = line[i] + line[i + 1] + line[i + 2]
