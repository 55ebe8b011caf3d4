"""A small body that sinks through the channel, followed by small steps."""

from __future__ import annotations

import numpy as np

from hardware_sim.flow import FlowSettings, liquid_share, settling_mm_s

FLOW = FlowSettings()
VIEW_UM = 2_214.0
AHEAD_UM = 10_000.0
STEP_S = 5e-4


def travel(
    diameter_um: float, height_um: float, slip: float, *, heavier: float = 1.0
) -> tuple[list[float], list[float]]:
    """Times and positions of a body in the simulator's flow until it passes the junction."""
    sink_um_s = heavier * settling_mm_s(diameter_um, FLOW) * 1e3
    times, places, z_um = [0.0], [0.0], height_um
    while places[-1] < VIEW_UM + AHEAD_UM:
        share = float(liquid_share(np.array([z_um]), FLOW)[0])
        times.append(times[-1] + STEP_S)
        places.append(places[-1] + slip * share * FLOW.mean_mm_s * 1e3 * STEP_S)
        z_um = max(diameter_um / 2, z_um - sink_um_s * STEP_S)
    return times, places
