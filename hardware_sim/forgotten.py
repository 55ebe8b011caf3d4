"""Commands that a host forgot, by what it wrote to the device.

A report may be lost, so that a command is not settled says nothing. But the driver then asks again
(`drivers.command_book`): a command's line is written again, at intervals of eight times `resend_ms`
at most, until it is answered, and from `report_ms` after its end on until it is reported.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from drivers import protocol as wire
from drivers.dispenser_settings import DispenserSettings
from hardware_sim.campaign_parts import Sent

_US, _MS = 1_000, 1_000_000
_LONGEST_WAIT = 8  # times `resend_ms`
_HELD_UP_NS = 600 * _MS  # a host that is held up asks later


def forgotten(
    sent: Sequence[Sent],
    unsettled: Set[int],
    wrote: Sequence[tuple[int, bytes]],
    ended_ns: int,
    settings: DispenserSettings,
) -> list[str]:
    """Commands that nobody asked about any more when a run ended, though they were not settled.

    Args:
        sent: the commands of the run. unsettled: ids of those that were not reported or refused.
        wrote: (host ns, line) of all that the host wrote.
        ended_ns: host time of the run's end.
    """
    spoken_ns = _last_spoken_of(unsettled, wrote)
    told = []
    for one in sent:
        command = one.command
        if command.id not in unsettled:
            continue
        closes_ns = one.at_ns + (command.close_us - one.now_us) * _US
        asks_ns = max(
            spoken_ns.get(command.id, 0) + _LONGEST_WAIT * settings.resend_ms * _MS,
            closes_ns + settings.report_ms * _MS,
        )
        if ended_ns > asks_ns + _HELD_UP_NS:
            late_ms = (ended_ns - asks_ns) / 1e6
            told.append(f"command {command.id} is not settled, nobody asks since {late_ms:.0f} ms")
    return told


def _last_spoken_of(ids: Set[int], wrote: Sequence[tuple[int, bytes]]) -> dict[int, int]:
    """When the host last wrote a line about each of these commands, host ns."""
    spoken: dict[int, int] = {}
    for at_ns, line in wrote if ids else ():
        try:
            message = wire.decode_from_host(line.rstrip(b"\n"))
        except wire.BadLine:
            continue
        if isinstance(message, (wire.Open, wire.Cancel)) and message.id in ids:
            spoken[message.id] = at_ns
    return spoken
