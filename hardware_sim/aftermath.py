"""What a dispenser did after its host died, and what the record knows of the commands it had taken.

Reads the simulated dispenser's own log (`hardware_sim.gate_log`), which says what the pins did and
which commands were acknowledged, and the run's record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardware_sim.gate_log import Accepted, Edge, GateEdge, PumpEdge, StopEdge
from sorter.record_reader import RecordReader


@dataclass(frozen=True, slots=True)
class Aftermath:
    """How a device came to rest after its host's death.

    Attributes:
        under_way: commands were under way at the death: the gate moved after it.
        held_ns: from the death until the pump was held, ns; None: it never was.
        rested_ns: from the death until the gate came to rest for good; 0 when it stood there.
        causes: what latched the emergency stop afterwards.
        accepted: ids of all commands that the device had acknowledged.
    """

    under_way: bool
    held_ns: int | None
    rested_ns: int | None
    causes: tuple[str, ...]
    accepted: frozenset[int]


def aftermath(edges: Sequence[Edge], death_ns: int, rest: str = "waste") -> Aftermath:
    """What the log says of the time after ``death_ns``, a host time."""
    gate = [edge for edge in edges if isinstance(edge, GateEdge)]
    pump = [edge for edge in edges if isinstance(edge, PumpEdge)]
    stops = [edge for edge in edges if isinstance(edge, StopEdge)]
    moved = [edge for edge in gate if edge.t_ns > death_ns]
    return Aftermath(
        under_way=bool(moved),
        held_ns=_since(death_ns, pump[-1].t_ns) if pump and pump[-1].held else None,
        rested_ns=_since(death_ns, gate[-1].t_ns) if gate and gate[-1].outlet == rest else None,
        causes=tuple(edge.cause for edge in stops if edge.t_ns > death_ns),
        accepted=frozenset(edge.command_id for edge in edges if isinstance(edge, Accepted)),
    )


def _since(death_ns: int, at_ns: int) -> int:
    return max(0, at_ns - death_ns)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a record knows of commands that a device had taken.

    Attributes:
        lost_objects: ids of commands in the record whose object is not.
        lost_rows: ids of commands without a row: a death between the write to the port and the
            row's handing over. Their objects were handed over before.
        unsent: objects that were decided for an outlet to open and have no command in the record.
    """

    lost_objects: tuple[int, ...]
    lost_rows: tuple[int, ...]
    unsent: int

    @property
    def complete(self) -> bool:
        """Whether each command's object is there: the row's, or one that waits for its command."""
        return not self.lost_objects and len(self.lost_rows) <= self.unsent


def recorded(reader: RecordReader, accepted: frozenset[int], rest: str = "waste") -> Recorded:
    """Compare the device's word with the record's."""
    with reader.snapshot():
        objects = {one.row.id: one for one in reader.objects()}
        commands = {one.row.id: one.row for one in reader.commands()}
    return Recorded(
        lost_objects=tuple(
            one
            for one in sorted(accepted & set(commands))
            if commands[one].object_id not in objects
        ),
        lost_rows=tuple(sorted(accepted - set(commands))),
        unsent=sum(one.outlet != rest and one.row.command_id is None for one in objects.values()),
    )
