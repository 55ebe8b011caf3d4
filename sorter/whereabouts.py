"""Where each object went, in a run: what the loop tells the junction's watch, and what that tells.

Brings together the watch (`sorter.junction`), the mass balance, and the correction of arrivals.
Stepped with frames only, so that a replay, which leaves out steps without one, finds the same; and
at the times that they show: where frames come late, so may passages (docs/adr/0011).
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field

from drivers.ports import Passed
from sorter.arrival_correction import ArrivalCorrection, CorrectionSettings
from sorter.decide import OutletSettings, Reason
from sorter.junction import Expected, JunctionWatch, JunctionWatchSettings, Seen
from sorter.mass_balance import Alarm, BalanceSettings, MassBalance, alarms
from sorter.record_rows import EventRow, ObjectRow
from sorter.report_junction import balance_event
from sorter.track import Arrival


class OpticalGateSettings(BaseModel):
    """Optical gates in the outlets, and what is made of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    present: bool = Field(
        False, description="each outlet has one: where objects go is measured, see docs/faults.md"
    )
    watch: JunctionWatchSettings = Field(default_factory=JunctionWatchSettings)
    balance: BalanceSettings = Field(default_factory=BalanceSettings)
    correction: CorrectionSettings = Field(default_factory=CorrectionSettings)


class Whereabouts:
    """Of all objects of a run. No clock, no I/O.

    Args:
        outlets: their names.
        to_host_ns: host time of an unwrapped device time.
        liquid_ns: liquid time of a host time, with the openings as they are known now.
    """

    def __init__(
        self,
        settings: OpticalGateSettings,
        outlets: OutletSettings,
        to_host_ns: Callable[[int], int],
        liquid_ns: Callable[[int], float],
    ) -> None:
        self._settings = settings
        self._to_host_ns = to_host_ns
        self._liquid_ns = liquid_ns
        self._junction = JunctionWatch(settings.watch)
        self._balance = MassBalance(outlets, settings.balance)
        self._correction = ArrivalCorrection(settings.correction, outlets.rest)
        self._told: set[tuple[str, str, int]] = set()

    def corrected(
        self, arrival: Arrival, last_liquid_ns: float, *, opened: bool = False
    ) -> Arrival:
        """A predicted arrival, moved by what was learnt at the junction.

        Args:
            arrival: as predicted.
            last_liquid_ns: when the body was seen last, in liquid time.
            opened: the gate is opened for it.
        """
        flight_s = (arrival.liquid_ns - last_liquid_ns) * 1e-9
        return self._correction.corrected(arrival, flight_s, opened=opened)

    def entered(self, row: ObjectRow, arrival: Arrival, flight_ns: float, shift_ns: float) -> None:
        """An object was decided.

        Args:
            row: the decision, with size and speed.
            arrival: in liquid time, as used for the gate.
            flight_ns: liquid time from its last view to the arrival as first predicted.
            shift_ns: by how much the arrival was moved since.
        """
        counts = row.reason != Reason.SPECK.value
        self._junction.expect(
            Expected(
                object_id=row.id,
                outlet=row.outlet,
                arrival=arrival,
                diameter_um=row.diameter_um,
                speed_um_s=row.velocity_um_s,
                flight_s=flight_ns * 1e-9,
                shift_ns=shift_ns,
                counts=counts,
            )
        )
        if counts:
            self._balance.entered(row.id, row.outlet)

    def changed(self, object_id: int, outlet: str) -> None:
        """A decision was taken back."""
        self._junction.changed(object_id, outlet)
        self._balance.changed(object_id, outlet)

    def passed(self, passage: Passed) -> None:
        """Something darkened an outlet's optical gate."""
        self._junction.passed(passage, self._to_host_ns, self._liquid_ns)

    def held(self, now_ns: int) -> None:
        """The flow was held: when those under way arrive, and whether they do, nobody can say."""
        self._rule(now_ns, final=True)
        for object_id in self._junction.forget_objects():
            self._balance.held(object_id)

    def step(self, now_ns: int) -> list[Alarm]:
        """Rule on what is certain by then; alarms that are new. Cheap where nothing is due."""
        if not self._rule(now_ns, final=False):
            return []
        balance = self._balance.balance(now_ns)
        new: list[Alarm] = []
        for alarm in alarms(balance, self._settings.balance):
            # Each further stray counts anew: a run that went on after the first must hear of it.
            key = (alarm.name, alarm.severity.value, balance.strays if alarm.name == "stray" else 0)
            if key not in self._told:
                self._told.add(key)
                new.append(alarm)
        return new

    def settle(self) -> None:
        """Use a moment without frames to work out the correction; it would be the same later."""
        _ = self._correction.correction

    def ended(self, now_ns: int) -> EventRow:
        """Nothing more will come; the balance of the run, for its record."""
        self._rule(now_ns, final=True)
        return balance_event(self._balance.balance(now_ns), now_ns)

    def _rule(self, now_ns: int, *, final: bool) -> bool:
        """Count the verdicts that are due; whether there were any."""
        verdicts = self._junction.step(now_ns, final=final)
        for verdict in verdicts:
            self._balance.heard(verdict)
            if isinstance(verdict, Seen):
                self._correction.learn(verdict)
        return bool(verdicts)
