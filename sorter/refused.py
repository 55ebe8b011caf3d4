"""Bodies whose command the device refused, though they were rightly bound for its outlet.

A refusal may be heard when the body is over the junction already, and another's opening for the
same outlet may have let it in. It was decided on in time, so nothing is wrong with that; what would
be wrong is a record that says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from sorter.decide import Reason
from sorter.liquid import Liquid, Opening
from sorter.opening_plan import JunctionSettings, window
from sorter.under_way import Body

_NEVER_SENT = 0  # in place of a command's number, so that none is sent any more


class RefusedBodies:
    """Keeps them until it is known what became of them."""

    def __init__(self, liquid: Liquid, junction: JunctionSettings) -> None:
        self._liquid = liquid
        self._guard_ns = junction.guard_ns
        self._bodies: dict[int, tuple[Body, Reason]] = {}

    def add(self, body: Body, reason: Reason) -> None:
        """A body whose command acts no more, or came never to be, and why it then goes to rest."""
        if body.command_id is None:
            body.command_id = _NEVER_SENT
        self._bodies[body.id] = body, reason

    def clear(self) -> None:
        """Nothing is under way any more."""
        self._bodies.clear()

    def passed(self, now_ns: int, openings: Sequence[Opening]) -> None:
        """Whom an opening may have let in by now, it has, and that stands.

        Asked while all openings are known that moved the liquid before: later nobody can tell.
        """
        for body, _ in list(self._bodies.values()):
            theirs = window(body.arrival, self._liquid, openings)
            is_past = theirs.late_ns + self._guard_ns < now_ns
            if is_past and self.may_be_let_in(body, openings):
                del self._bodies[body.id]

    def take_unserved(self, *ways: Sequence[Opening]) -> list[tuple[Body, Reason]]:
        """Those that no opening may let in, whichever way the gate moves; they are not kept any
        longer."""
        unserved = [
            (body, reason)
            for body, reason in self._bodies.values()
            if not self.may_be_let_in(body, *ways)
        ]
        for body, _ in unserved:
            del self._bodies[body.id]
        return unserved

    def may_be_let_in(self, body: Body, *ways: Sequence[Opening]) -> bool:
        """Whether an opening lets a body in, in any of the ways in which the gate may move."""
        return any(self._may_enter(body, o, openings) for openings in ways for o in openings)

    def _may_enter(self, body: Body, opening: Opening, openings: Sequence[Opening]) -> bool:
        """Whether it may arrive while the gate stands there."""
        if opening.outlet != body.outlet:
            return False
        theirs = window(body.arrival, self._liquid, openings)
        return theirs.overlaps(opening, self._guard_ns)
