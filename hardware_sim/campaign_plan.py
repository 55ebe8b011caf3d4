"""What a campaign draws from its seeds: the rig, its runs, and the faults that they meet.

Two sorts of runs. *Long* ones sort: in the first seconds all goes to rest, because what was between
view and junction when the run began was not seen, and then objects are collected while faults come
that a run must outlast. *Short* ones end soon, by a fault that must end a run, in the handshake, in
their first frames or while draining; they are what makes every kind common at a bearable price.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from drivers.dispenser import DispenserSettings
from hardware_sim.demo_rig import DemoSettings, rig_of, scene_of
from hardware_sim.dispenser_model import SimDispenserSettings
from hardware_sim.fault_acts import KINDS
from hardware_sim.faults import Injector, draw_kind, draw_u, log_between
from hardware_sim.scene_settings import SceneSettings
from sorter.life import RunState
from sorter.settings import RigSettings

FRAME_RATE_HZ = 100.0
S = 1_000_000_000
LONG_SHARE = 0.07
_HANDSHAKE_S = 0.12
_WEATHER_HZ = (2.0, 5.0, 10.0, 20.0)
_SHORT_FAULTS = 3

ENDING = [kind for kind in KINDS.values() if kind.ends_run]
_LASTING = [kind for kind in KINDS.values() if not kind.ends_run]
_LASTING_EARLY = [kind for kind in _LASTING if "connecting" in kind.states]
# Without openings there are no answers to them.
_LASTING_BLIND = [kind for kind in _LASTING if kind.place not in ("ack", "report")]
_ANSWERS = [kind for kind in _LASTING if kind.place in ("ack", "report")]
_LASTING_DRAINING = [kind for kind in _LASTING if "draining" in kind.states]
_ENDING_PAUSED = [kind for kind in ENDING if "paused" in kind.states]
_LASTING_PAUSED = [kind for kind in _LASTING if "paused" in kind.states]
_PAUSED_SHARE = 0.15
_BLIND_WEATHER = 0.4  # share of the weather while a long run collects nothing yet


@dataclass(frozen=True, slots=True)
class CampaignScene:
    """A rig's settings, all three sides of it."""

    scene: SceneSettings
    rig: RigSettings
    device: SimDispenserSettings

    @property
    def blind_s(self) -> float:
        """How long the slowest body needs from the view's left edge to the junction, s."""
        return self.scene.junction_um / self.rig.track.min_speed_um_s


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run.

    Attributes:
        length_ns: how long it goes on before it drains.
        pause_ns: how long nobody does anything then.
        wishes: (time since its start, `PAUSED`, or `PRIMING` to go on), in order of time.
    """

    length_ns: int
    pause_ns: int
    wishes: tuple[tuple[int, RunState], ...] = ()


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
        queue=choice((1, 4, 64, 64)),
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
        }
    )
    return CampaignScene(scene, rig, device)


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
    return CampaignScene(scene, rig, light.device)


def draw_run(
    random: Random, injector: Injector, now_ns: int, blind_s: float, *, first: bool
) -> RunPlan:
    """The next run, and its faults.

    Args:
        blind_s: how long a run sends everything to rest, because bodies it never saw may come.
        first: it is the rig's first; its channel is empty.
    """
    if first or random.random() < LONG_SHARE:
        return _draw_long(random, injector, now_ns, 1.0 if first else blind_s)
    if random.random() < _PAUSED_SHARE:
        return _draw_paused(random, injector, now_ns)
    return _draw_short(random, injector, now_ns)


def _draw_long(random: Random, injector: Injector, now_ns: int, blind_s: float) -> RunPlan:
    length_s = blind_s + random.uniform(2.5, 8.0)
    over_s = length_s + 1.0
    if random.random() < 0.6:
        over_s = random.uniform(blind_s, length_s + 0.6)
        _add(injector, random, now_ns, over_s, draw_kind(ENDING, random).name)
    rate_hz = random.choice(_WEATHER_HZ)
    t_s = random.expovariate(rate_hz)
    while t_s < over_s:
        if t_s > blind_s:
            _add(injector, random, now_ns, t_s, draw_kind(_LASTING, random).name)
        elif random.random() < _BLIND_WEATHER:
            _add(injector, random, now_ns, t_s, draw_kind(_LASTING_BLIND, random).name)
        t_s += random.expovariate(rate_hz)
    for _ in range(random.choice((0, 1, 2))):
        kinds = _ANSWERS if random.random() < 0.4 else _LASTING_DRAINING
        at_s = length_s + random.uniform(0.0, 0.3)
        _add(injector, random, now_ns, at_s, draw_kind(kinds, random).name)
    wishes: tuple[tuple[int, RunState], ...] = ()
    if random.random() < _PAUSED_SHARE:
        at_s, for_s = random.uniform(0.1, length_s), log_between(0.02, 1.0, random.random())
        wishes = _pause(at_s, for_s)
    return RunPlan(int(length_s * S), _draw_pause_ns(random), wishes)


def _pause(at_s: float, for_s: float) -> tuple[tuple[int, RunState], ...]:
    return ((int(at_s * S), RunState.PAUSED), (int((at_s + for_s) * S), RunState.PRIMING))


def _draw_paused(random: Random, injector: Injector, now_ns: int) -> RunPlan:
    """Soon paused; ended then, or when it goes on."""
    paused_s, for_s = random.uniform(0.01, 0.1), random.uniform(0.05, 0.5)
    begun_s = _HANDSHAKE_S + paused_s
    for _ in range(1 + int(random.expovariate(1.0 / _SHORT_FAULTS))):
        kind = draw_kind(_LASTING_PAUSED, random)
        _add(injector, random, now_ns, begun_s + random.uniform(0.0, for_s), kind.name)
    if random.random() < 0.7:
        at_s = begun_s + random.uniform(0.0, 1.2 * for_s)
        _add(injector, random, now_ns, at_s, draw_kind(_ENDING_PAUSED, random).name)
    length_s = paused_s + for_s * random.choice((0.9, 1.3))
    return RunPlan(int(length_s * S), _draw_pause_ns(random), _pause(paused_s, for_s))


def _draw_short(random: Random, injector: Injector, now_ns: int) -> RunPlan:
    """Ended in the handshake, soon after it, while draining, or in the pause that follows."""
    ending = draw_kind(ENDING, random)
    length_s = random.choice((0.03, 0.3))
    u = random.random()
    if u < 0.25 and "connecting" in ending.states:
        at_s = random.uniform(0.0, _HANDSHAKE_S)
    elif u < 0.3 and "off" in ending.states:
        at_s = _HANDSHAKE_S + length_s + random.uniform(0.5, 1.0)
    else:
        at_s = _HANDSHAKE_S + random.expovariate(1.0 / 0.06)
    _add(injector, random, now_ns, at_s, ending.name)
    for _ in range(int(random.expovariate(1.0 / _SHORT_FAULTS))):
        early = at_s < _HANDSHAKE_S or random.random() < 0.5
        kind = draw_kind(_LASTING_EARLY if early else _LASTING_BLIND, random)
        t_s = random.uniform(0.0, _HANDSHAKE_S) if early else random.uniform(_HANDSHAKE_S, at_s)
        _add(injector, random, now_ns, t_s, kind.name)
    return RunPlan(int(length_s * S), _draw_pause_ns(random))


def _draw_pause_ns(random: Random) -> int:
    return int(log_between(1e6, 5e8, random.random()))


def _add(injector: Injector, random: Random, now_ns: int, at_s: float, kind: str) -> None:
    injector.add(now_ns + int(at_s * S), kind, draw_u(random))
