"""Small debris, drawn a few times and shown often.

A speck of a few pixels looks the same to a fraction of a pixel and of a turn, and there are five
for each spheroid: drawing each anew in each frame would cost more than everything else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hardware_sim.bodies import Body, Patch
from hardware_sim.spheroids import BodySpec

SPECK_BELOW_UM = 30.0
# Half a grey value of a background of 160.
_SHOWS = 0.003


class Speck:
    """A small body in eight attitudes, each drawn when it is first seen, on whole pixels.

    Args:
        body: what it looks like; drawn at the focus that it has when it is first seen.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._looks: dict[int, Patch] = {}

    @property
    def spec(self) -> BodySpec:
        """What it is."""
        return self._body.spec

    @property
    def radius_um(self) -> float:
        """Radius of a sphere around its centre that holds all of it."""
        return self._body.radius_um

    def transmission(
        self,
        rotation: NDArray[np.floating],
        *,
        pitch_um: float,
        defocus_um: float,
        centre_px: tuple[float, float],
    ) -> Patch:
        """See `hardware_sim.bodies.Body.transmission`; the octant of the attitude decides."""
        signs = (rotation[0, 0] > 0, rotation[0, 2] > 0, rotation[1, 1] > 0)
        octant = sum(1 << i for i, positive in enumerate(signs) if positive)
        look = self._looks.get(octant)
        if look is None:
            look = self._looks[octant] = _trimmed(
                self._body.transmission(
                    rotation, pitch_um=pitch_um, defocus_um=defocus_um, centre_px=(0.0, 0.0)
                )
            )
        x_px, y_px = round(centre_px[0]), round(centre_px[1])
        return Patch(look.transmission, look.x0_px + x_px, look.y0_px + y_px)


def _trimmed(patch: Patch) -> Patch:
    """The part that shows; one clear pixel where nothing does."""
    shows = np.abs(patch.transmission - 1.0) > _SHOWS
    rows, columns = np.flatnonzero(shows.any(axis=1)), np.flatnonzero(shows.any(axis=0))
    if not len(rows):
        return Patch(np.ones((1, 1), np.float32), patch.x0_px, patch.y0_px)
    y, x = int(rows[0]), int(columns[0])
    part = patch.transmission[y : int(rows[-1]) + 1, x : int(columns[-1]) + 1]
    return Patch(np.ascontiguousarray(part), patch.x0_px + x, patch.y0_px + y)


def speck_or_body(body: Body) -> Body:
    """The body itself, or a `Speck` of it where it is small debris."""
    small = body.spec.kind == "debris" and body.spec.diameter_um < SPECK_BELOW_UM
    return Speck(body) if small else body
