"""Compiles what drawing a frame needs, before the first one is due.

``python -m hardware_sim.warm_up`` does it so that the first start need not.
"""

from __future__ import annotations

import numpy as np

from hardware_sim.optics import OpticsSettings, Sensor
from hardware_sim.spheroids import draw_spheroid, make_body

_SIDE_PX = 96


def warm_up() -> None:
    """Draw a spheroid and expose a frame of it; see `sorter.warm_up`."""
    optics = OpticsSettings()
    body = make_body(
        draw_spheroid(np.random.default_rng(0), unhealthy_fraction=0.0),
        depth_of_field_um=optics.depth_of_field_um,
    )
    patch = body.transmission(
        np.eye(3), pitch_um=optics.pitch_um, defocus_um=0.0, centre_px=(_SIDE_PX / 2, _SIDE_PX / 2)
    )
    Sensor(_SIDE_PX, _SIDE_PX, 8, optics, seed=0).expose([patch], time_s=0.0)


if __name__ == "__main__":
    warm_up()
