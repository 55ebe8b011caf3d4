"""What must hold of the device, by what reached it: pin, pump, answers; see `invariants`."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

from drivers import protocol as wire
from hardware_sim.campaign_log import RigLog
from hardware_sim.told import Allowed

_TOLERANCE_US = 20


def gate_only_as_told(log: RigLog) -> list[str]:
    """The pin leads away from rest only while a line says so that came whole, in time, once, in the
    present session, and was not withdrawn; and never when the host has been silent too long."""
    told = log.told
    wrong = []
    for stay in log.stays:
        off_us = stay.on_us if stay.off_us is None else stay.off_us
        fitting = [o for o in told.openings if (o.boot, o.outlet) == (stay.boot, stay.outlet)]
        at = _first_untold(fitting, stay.on_us, off_us)
        if at is not None:
            after_ms = (at - stay.on_us) / 1e3
            wrong.append(f"{stay.outlet} from {stay.on_ns} ns on, untold after {after_ms:.2f} ms")
    return wrong


def pump_only_as_told(log: RigLog) -> list[str]:
    """The pump's output lets it run only from a `FLOW` on that came whole, in the present session,
    with the emergency stop cleared by its edge; and never when the host is silent for too long."""
    told = log.told
    wrong = []
    for flow in log.flows:
        off_us = flow.on_us if flow.off_us is None else flow.off_us
        at = _first_untold([o for o in told.flows if o.boot == flow.boot], flow.on_us, off_us)
        if at is not None:
            after_ms = (at - flow.on_us) / 1e3
            wrong.append(f"pump from {flow.on_ns} ns on, untold after {after_ms:.2f} ms")
    return wrong


def stop_clears_by_its_edge(log: RigLog) -> list[str]:
    """The device never says that its emergency stop is clear while it is not: it clears by a level
    0 and then a level 1, both after it was set and with the button let go."""
    stops = log.told.stops
    times = [at_ns for at_ns, _ in stops]
    wrong = []
    for at_ns, message in log.answers:
        if not isinstance(message, (wire.Said, wire.Ready)) or message.estop:
            continue
        known = bisect_right(times, at_ns)
        if known and stops[known - 1][1]:
            wrong.append(f"clear at {at_ns} ns, set since {times[known - 1]} ns")
    return wrong


def held_in_the_end(log: RigLog) -> list[str]:
    """Nobody has spoken for seconds: the pump is held."""
    return [f"pump since {flow.on_ns}" for flow in log.flows if flow.off_ns is None]


def _first_untold(openings: list[Allowed], on_us: int, off_us: int) -> int | None:
    """The first device time of a stay that no opening covers."""
    reached = on_us + _TOLERANCE_US
    for one in sorted(openings, key=lambda one: one.from_us):
        if one.from_us <= reached:
            reached = max(reached, one.to_us + _TOLERANCE_US)
    return None if reached >= off_us else reached


def answers_say_why(log: RigLog) -> list[str]:
    """A damaged line and one of another session are refused, with that reason, and no other is; an
    opening that lies ahead is not called late; a session knows what ended before it."""
    told = log.told
    refused: Counter[tuple[int, str]] = Counter()
    late: set[tuple[int, int]] = set()
    begun: dict[int, str] = {}
    for at_ns, message in log.answers:
        if isinstance(message, wire.Nak) and message.reason in ("CRC", "SESSION"):
            refused[at_ns, message.reason] += 1
        elif isinstance(message, wire.Nak) and message.reason == "LATE":
            late.add((at_ns, message.id))
        elif isinstance(message, wire.Ready):
            begun[at_ns] = message.cause
    expected = Counter(told.refused)
    wrong = [f"{reason} not said at {at_ns} ns" for at_ns, reason in expected - refused]
    wrong += [f"{reason} said at {at_ns} ns" for at_ns, reason in refused - expected]
    wrong += [f"id {one} called late at {at_ns} ns" for at_ns, one in told.ahead
              if (at_ns, one) in late]  # fmt: skip
    for at_ns, cause in told.begun:
        if begun.get(at_ns, cause) != cause:
            wrong.append(f"{begun[at_ns]} for {cause} at {at_ns} ns")
    return wrong


def speaks_the_protocol(log: RigLog) -> list[str]:
    """Whatever happens to it, the device says only what PROTOCOL.md knows."""
    pairs = zip(log.said, log.answers, strict=True)
    return [f"{line!r} at {at_ns} ns" for (at_ns, line), (_, message) in pairs if message is None]


def queue_is_bounded(log: RigLog) -> list[str]:
    """The device never says that it has queued an opening while it holds as many as it can: queued,
    open, or ended with a report that was not receipted."""
    acked = {(m.tag, m.id) for _, m in log.answers if isinstance(m, wire.Ack)}
    wrong = []
    for tag, command_id, unreceipted in log.told.queued:
        held = sum((tag, other) in acked for other in unreceipted)
        if (tag, command_id) in acked and held >= log.scene.device.queue:
            wrong.append(f"id {command_id} of session {tag:04X} beside {held} others")
    return wrong


def at_rest_in_the_end(log: RigLog) -> list[str]:
    """Nobody has spoken for seconds: the gate is at rest."""
    return [f"{stay.outlet} since {stay.on_ns}" for stay in log.stays if stay.off_ns is None]
