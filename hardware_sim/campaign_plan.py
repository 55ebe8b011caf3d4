"""What a campaign draws from its seeds: a rig's runs, and the faults that they meet.

Two sorts of runs. *Long* ones sort: in the first seconds all goes to rest, because what was between
view and junction when the run began was not seen, and then objects are collected while faults come
that a run must outlast. *Short* ones end soon, by a fault that must end a run, in the handshake, in
their first frames or while draining; they are what makes every kind common at a bearable price.

A long run has *weather* of its own: how many faults a second, of which kinds, and whether they are
mild, so that the run outlasts them and sorts on. Where everything goes wrong at once nothing is
collected, and much is never tried; so a run leaves some kinds out, by chance (swarm testing: A.
Groce et al., "Swarm testing", ISSTA 2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from hardware_sim.fault_acts import KINDS
from hardware_sim.faults import Injector, Kind, draw_kind, draw_u, log_between
from sorter.life import RunState

S = 1_000_000_000
LONG_SHARE = 0.04
_HANDSHAKE_S = 0.12
_SHORT_FAULTS = 1.2
_PAUSED_SHARE = 0.15
_BLIND_SHARE = 0.6  # of long runs into a full channel: over before anything may be collected
_MILD_SHARE = 0.8
_ENDED_SHARE = 0.9  # of long runs that a fault ends, not the clock
_MILD_HZ, _ROUGH_HZ = (10.0, 20.0, 40.0), (5.0, 10.0)

_ANSWERS = ("ack", "report", "receipt")
# Groups of places, and by what their kinds' weights are multiplied in a run, by chance.
_SWARM: dict[tuple[str, ...], tuple[float, ...]] = {
    ("to_device", "to_host"): (0.1, 1.0, 1.0),
    _ANSWERS: (0.0, 0.5, 1.0),
    # A lost frame keeps the gate shut for a while: many leave no openings.
    ("frame",): (0.0, 0.0, 0.1, 1.0),
    ("inference", "record", "host"): (0.0, 0.2, 1.0, 1.0),
}

ENDING = [kind for kind in KINDS.values() if kind.ends_run]
_LASTING = [kind for kind in KINDS.values() if not kind.ends_run]
_LASTING_EARLY = [kind for kind in _LASTING if "connecting" in kind.states]
# Without openings there are no answers to them.
_LASTING_BLIND = [kind for kind in _LASTING if kind.place not in _ANSWERS]
_ABOUT_OPENINGS = [kind for kind in _LASTING if kind.place in _ANSWERS]
_LASTING_DRAINING = [kind for kind in _LASTING if "draining" in kind.states]
_ENDING_PAUSED = [kind for kind in ENDING if "paused" in kind.states]
_LASTING_PAUSED = [kind for kind in _LASTING if "paused" in kind.states]


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


@dataclass(frozen=True, slots=True)
class _Weather:
    """What a long run has to outlast: so many faults a second, of these kinds."""

    rate_hz: float
    weights: dict[str, float]
    mild: bool

    def draw(self, random: Random, *, openings: bool) -> Kind | None:
        """The next fault's kind; None where only openings could meet it, and there are none."""
        names = list(self.weights)
        kind = KINDS[random.choices(names, list(self.weights.values()))[0]]
        return kind if openings or kind.place not in _ANSWERS else None


def _draw_weather(random: Random) -> _Weather:
    mild = random.random() < _MILD_SHARE
    weights: dict[str, float] = {}
    for places, factors in _SWARM.items():
        factor = random.choice(factors)
        weights |= {k.name: factor * k.weight for k in _LASTING if k.place in places}
    return _Weather(random.choice(_MILD_HZ if mild else _ROUGH_HZ), weights, mild)


def draw_run(
    random: Random, injector: Injector, now_ns: int, blind_s: float, *, first: bool
) -> RunPlan:
    """The next run, and its faults.

    Args:
        blind_s: how long a run sends everything to rest, because bodies it never saw may come.
        first: it is the rig's first; its channel is empty.
    """
    if first or random.random() < LONG_SHARE:
        return _draw_long(random, injector, now_ns, 0.0 if first else blind_s)
    if random.random() < _PAUSED_SHARE:
        return _draw_paused(random, injector, now_ns)
    return _draw_short(random, injector, now_ns)


def _draw_long(random: Random, injector: Injector, now_ns: int, blind_s: float) -> RunPlan:
    sorts_from_s, length_s = blind_s, blind_s + random.uniform(3.0, 8.0)
    if blind_s and random.random() < _BLIND_SHARE:
        sorts_from_s, length_s = 0.0, random.uniform(0.3, 1.0) * blind_s
    over_s = length_s + 1.0
    if random.random() < _ENDED_SHARE:
        over_s = random.uniform(sorts_from_s, length_s)
        if random.random() < 0.35:
            over_s = length_s + random.uniform(0.0, 0.6)  # while it drains
        _add(injector, random, now_ns, over_s, draw_kind(ENDING, random).name)
    weather = _draw_weather(random)
    t_s = random.expovariate(weather.rate_hz)
    while t_s < over_s:
        kind = weather.draw(random, openings=t_s > blind_s)
        if kind is not None:
            _add(injector, random, now_ns, t_s, kind.name, mild=weather.mild)
        t_s += random.expovariate(weather.rate_hz)
    for _ in range(random.choice((0, 1, 2, 4))):
        kinds = _ABOUT_OPENINGS if random.random() < 0.5 else _LASTING_DRAINING
        at_s = length_s + random.uniform(0.0, 0.5)
        _add(injector, random, now_ns, at_s, draw_kind(kinds, random).name, mild=weather.mild)
    if random.random() < 0.7:
        _add(injector, random, now_ns, random.uniform(0.0, length_s), "pump_disobeys")
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


def _add(
    injector: Injector, random: Random, now_ns: int, at_s: float, kind: str, *, mild: bool = False
) -> None:
    injector.add(now_ns + int(at_s * S), kind, draw_u(random), mild=mild)
