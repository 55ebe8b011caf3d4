"""Compiles what drawing a frame needs, before the first one is due.

``python -m hardware_sim.warm_up`` does it so that the first start need not.
"""

from __future__ import annotations

import numpy as np

from hardware_sim.body_spec import BodySpec
from hardware_sim.optics import OpticsSettings, Sensor
from hardware_sim.phenotypes import DEFECTS, HARMLESS
from hardware_sim.spheroids import make_body

_SIDE_PX = 96


def warm_up() -> None:
    """Make a body of every kind and expose a frame of them; see `sorter.warm_up`."""
    optics = OpticsSettings()
    specs = [BodySpec("spheroid", 90.0, None, name, 0.9, 0) for name in (*DEFECTS, *HARMLESS)]
    specs.append(BodySpec("debris", 90.0, None, "debris", 0.0, 0))
    bodies = [make_body(spec, depth_of_field_um=optics.depth_of_field_um) for spec in specs]
    patches = [
        body.transmission(
            np.eye(3),
            pitch_um=optics.pitch_um,
            defocus_um=0.0,
            centre_px=(_SIDE_PX / 2, _SIDE_PX / 2),
        )
        for body in bodies
    ]
    Sensor(_SIDE_PX, _SIDE_PX, 8, optics, seed=0).expose(patches, time_s=0.0)


if __name__ == "__main__":
    warm_up()
