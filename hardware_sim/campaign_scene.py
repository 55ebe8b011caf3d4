"""The rigs of a campaign: what differs from one to the next, drawn from its seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from drivers.dispenser import DispenserSettings
from hardware_sim.demo_rig import DemoSettings, rig_of, scene_of
from hardware_sim.dispenser_model import SimDispenserSettings
from hardware_sim.faults import log_between
from hardware_sim.scene_settings import SceneSettings
from sorter.settings import RigSettings

FRAME_RATE_HZ = 100.0
# The real loop looks every 0.1 ms; a frame or a line from the device wakes this one as well.
_IDLE_MS = (5.0, 10.0, 10.0)
_PRIME_S = (0.0, 0.3, 1.0)  # where it is short, it is the channel's length that counts


@dataclass(frozen=True, slots=True)
class CampaignScene:
    """A rig's settings, all three sides of it.

    Attributes:
        scene, rig, device: of the simulated camera, the controller, the simulated dispenser.
        idle_ns: a host that nothing wakes sleeps so long.
    """

    scene: SceneSettings
    rig: RigSettings
    device: SimDispenserSettings
    idle_ns: int

    @property
    def blind_s(self) -> float:
        """How long the slowest body needs from the view's left edge to the junction, s."""
        return self.scene.junction_um / self.rig.track.min_speed_um_s


def rig_of_seed(seed: int) -> CampaignScene:
    """A rig: its feed, outlets, device, and how near its counter is to a wrap."""
    random = Random(f"rig {seed}")
    choice = random.choice
    demo = DemoSettings(seed=seed, rate_hz=choice((1.5, 3.0, 5.0)), unhealthy=choice((0.1, 0.3)))
    plain = scene_of(demo)
    junction_mm = choice((10.0, 6.0))
    scene = plain.model_copy(
        update={
            "gate_log": None,
            "truth_log": None,
            "camera": plain.camera.model_copy(update={"frame_rate_hz": FRAME_RATE_HZ}),
            "flow": plain.flow.model_copy(update={"junction_mm": junction_mm}),
            "feed": plain.feed.model_copy(
                update={"lead_in_s": 0.0, "decay_s": 1e6, "debris_per_spheroid": 0.5}
            ),
        }
    )
    rig = rig_of(demo, scene, "virtual")
    recheck = choice((False, False, True))
    bits = choice((30, 32))
    wraps_in_us = int(log_between(1e6, 60e6, random.random()))
    device = SimDispenserSettings(
        seed=seed,
        outlets=("waste", "collect", "recheck") if recheck else ("waste", "collect"),
        queue=choice((1, 1, 2, 4, 64, 64, 64, 64)),
        ticks_bits=bits,
        clock_offset_us=choice((123_456_789, (1 << bits) - wraps_in_us)),
        clock_drift_ppm=random.uniform(-100.0, 100.0),
        link_jitter_ms=choice((0.0, 0.5, 2.0)),
    )
    watchdog_ms = choice((100, 300, 1000))
    assert isinstance(rig.dispenser, DispenserSettings)
    dispenser = DispenserSettings(
        least_us_per_byte=rig.dispenser.least_us_per_byte,
        watchdog_ms=watchdog_ms,
        ping_ms=watchdog_ms // 5,
    )
    junction = rig.junction.model_copy(update={"distance_um": junction_mm * 1e3})
    outlets = rig.outlets.model_copy(update={"recheck": "recheck" if recheck else None})
    decide = rig.decide.model_copy(
        update={
            "policy": choice(("purity", "purity", "single")),
            "unsure_band": 0.2,
            # Bodies show half as often as at 200 frames/s.
            "speck": rig.decide.speck.model_copy(update={"min_views": 3}),
        }
    )
    rig = rig.model_copy(
        update={
            # Likewise: a track of so few views takes its arrival from a body beside it.
            "track": rig.track.model_copy(update={"short_views": 3}),
            "dispenser": dispenser,
            "outlets": outlets,
            "decide": decide,
            "junction": junction,
            "run": rig.run.model_copy(update={"prime_s": choice(_PRIME_S)}),
        }
    )
    return CampaignScene(scene, rig, device, int(choice(_IDLE_MS) * 1e6))


def pixel_rig_of_seed(seed: int) -> CampaignScene:
    """The same with few bodies, which pass through each other, and with the shipped settings."""
    light = rig_of_seed(seed)
    plain = scene_of(DemoSettings(seed=seed, rate_hz=1.0, unhealthy=0.3))
    scene = plain.model_copy(
        update={
            "gate_log": None,
            "truth_log": None,
            "flow": light.scene.flow,
            "feed": plain.feed.model_copy(update={"lead_in_s": 0.4}),
        }
    )
    shipped = rig_of(DemoSettings(seed=seed), scene, "virtual")
    rig = light.rig.model_copy(
        update={"camera": shipped.camera, "track": shipped.track, "decide": shipped.decide}
    )
    return CampaignScene(scene, rig, light.device, light.idle_ns)
