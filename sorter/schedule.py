"""Decisions to timed commands: conflicts, merged openings, deadlines.

Commands go out as late as is safe (`lead_ms` before the gate must move), so that everything that
has been seen until then can still stand against them: the arrival of every body is predicted with
the jumps of all openings that are commanded, and a body bound elsewhere whose arrival window meets
an opening is a conflict. What comes to light later withdraws a command that was sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from drivers.ports import Command, Dispenser
from sorter.conflicts import Conflicts, UnderWay
from sorter.decide import Decision, OutletSettings, Reason
from sorter.liquid import Liquid, Opening, merge
from sorter.opening_plan import (
    WHOLE,
    Aim,
    JunctionSettings,
    Window,
    aims_beside,
    plan_opening,
    stands_until,
)
from sorter.refused import RefusedBodies
from sorter.schedule_settings import ScheduleSettings
from sorter.track import Arrival
from sorter.under_way import Body, Ruling, Sent, began_unheard, ended_unheard

LOOK_AGAIN_NS = 5_000_000


class Scheduler:
    """Keeps what is under way to the junction, and decides what is sent when.

    Args:
        dispenser: converts times and takes the commands.
        policy: ``purity``, ``yield`` or ``single``, see `sorter.decide`.
        shadow: decide and rule as ever, but send nothing.
    """

    def __init__(
        self,
        settings: ScheduleSettings,
        junction: JunctionSettings,
        outlets: OutletSettings,
        liquid: Liquid,
        dispenser: Dispenser,
        *,
        policy: Literal["purity", "yield", "single"],
        shadow: bool = False,
    ) -> None:
        self._settings = settings
        self._junction = junction
        self._outlets = outlets
        self._liquid = liquid
        self._dispenser = dispenser
        self._conflicts = Conflicts(liquid, junction, policy)
        self._shadow = shadow
        self._bodies: dict[int, Body] = {}
        self._sent: dict[int, Sent] = {}
        self._withdrawn: dict[int, Sent] = {}  # as it was sent, until the device tells its end
        self._refused = RefusedBodies(liquid, junction)
        self._moves_otherwise = False
        self._unsure: set[int] = set()
        self._openings: tuple[Opening, ...] = ()
        self._next_command_id = 1
        self._next_blind_id = -1
        self._unseen_from_ns: float | None = None

    @property
    def openings(self) -> tuple[Opening, ...]:
        """All openings that still matter to the liquid, merged, in order of time."""
        return self._openings

    def knows_gate(self, time_ns: int) -> bool:
        """Whether the device has said so far what the gate did until a host time."""
        began = began_unheard((s for i, s in self._sent.items() if i in self._unsure), time_ns)
        return not (began or ended_unheard(self._withdrawn.values(), time_ns))

    @property
    def rest_outlet(self) -> str:
        """Name of the outlet where everything goes when nobody says otherwise."""
        return self._outlets.rest

    @property
    def waiting(self) -> int:
        """Decided bodies meant for another outlet than rest, that have not passed yet."""
        return sum(b.outlet not in (None, self._outlets.rest) for b in self._bodies.values())

    def observe(self, object_id: int, arrival: Arrival) -> None:
        """A body in view that is undecided, with its arrival as known now."""
        self._bodies.setdefault(object_id, Body(object_id, arrival)).arrival = arrival

    def looked(self, unseen_from_ns: float) -> None:
        """With each frame: bodies that nobody has seen yet can't arrive before this liquid time.

        Nothing is opened for longer than that, so that a loop that lags behind lets nothing in.
        """
        self._unseen_from_ns = unseen_from_ns

    def blind(self, first_ns: float, last_ns: float) -> None:
        """Bodies that went unseen may arrive between these liquid times: nothing is opened then."""
        middle, half = (first_ns + last_ns) / 2, (last_ns - first_ns) / 2
        body = Body(self._next_blind_id, Arrival(middle, half), self._outlets.rest)
        self._next_blind_id -= 1
        self._bodies[body.id] = body

    def decided(self, object_id: int, arrival: Arrival, decision: Decision, now_ns: int) -> None:
        """A body's decision. Commands that would let it in elsewhere are withdrawn."""
        body = Body(object_id, arrival, decision.outlet, decision)
        self._bodies[object_id] = body
        if decision.outlet != self._outlets.collect:
            self._withdraw_for(body, now_ns)

    def forget(self, object_id: int) -> None:
        """A track that turned out to be nothing."""
        self._bodies.pop(object_id, None)

    def due_until_ns(self, now_ns: int, *, within_ns: int = 0) -> float | None:
        """Until when, in liquid or host time, whichever is later, arrivals matter to what `plan`
        may send now, or ``within_ns`` from now; None when nothing is due."""
        due = self._due(now_ns + within_ns)
        if not due:
            return None
        ends_ns = [b.arrival.liquid_ns + b.arrival.error_ns for b in due]
        ends_ns += [o.close_ns for o in self._openings]
        slack_ns = 2 * (self._liquid.jump_ns + self._junction.guard_ns)
        return max(ends_ns) + slack_ns + self._junction.min_dwell_ns + self._bound_ns(now_ns)

    def plan(self, now_ns: int) -> list[Ruling]:
        """Send what is due. Call at least every few ms."""
        rulings: list[Ruling] = []
        for body in self._due(now_ns):
            if body.outlet != self._outlets.rest:  # one ruled before it may have undone it
                rulings += self._rule(body, now_ns)
        return rulings + self._look_again(now_ns)

    def acknowledged(self, command_id: int) -> None:
        """The device has queued a command, and will act on it."""
        self._unsure.discard(command_id)

    def refused(self, command_id: int, now_ns: int) -> list[Ruling]:
        """The device will not act on a command: its object goes to rest, unless another's opening
        may let it in, or has: then its decision stands, as long as that opening does. As the liquid
        will not jump as it was thought to, all other openings are looked at again."""
        self._unsure.discard(command_id)
        withdrawn = self._withdrawn.pop(command_id, None)
        sent = self._sent.pop(command_id, withdrawn)
        if sent is None:
            return []
        self._openings = merge([s.opening for s in self._sent.values()])
        self._refused.add(sent.body, Reason.CONFLICT if withdrawn else Reason.LATE)
        self._moves_otherwise = True
        return self._look_again(now_ns)

    def executed(self, command_id: int, closed_us: int, now_ns: int) -> list[Ruling]:
        """The device has opened and closed. What was withdrawn was open all the same, until now:
        its object goes to rest where it comes later."""
        sent = self._withdrawn.pop(command_id, None)
        if sent is None:
            return []
        closes_ns = self._dispenser.to_host_ns(closed_us) + int(self._junction.valve_off_ms * 1e6)
        closed = replace(sent.opening, close_ns=max(closes_ns, sent.opening.open_ns))
        self._sent[command_id] = Sent(sent.command, sent.body, closed, withdrawn=True)
        self._openings = merge([s.opening for s in self._sent.values()])
        if sent.object_id in self._bodies:
            self._refused.add(sent.body, Reason.CONFLICT)
        self._moves_otherwise = True
        return self._look_again(now_ns)

    def abandon(self, reason: Reason) -> list[Ruling]:
        """Rule to rest, at the end of a run or after a fault, what no command lets in."""
        ways, rulings = self._ways(), list[Ruling]()
        for body in self._bodies.values():
            if body.command_id is None and not self._refused.may_be_let_in(body, *ways):
                rulings += self._rest(body, reason, now_ns=None)
        return rulings

    def hold(self, now_ns: int) -> list[Ruling]:
        """The flow stands and the gate was sent to rest: where bodies are is not known any more.
        What was bound elsewhere goes to rest, unless an opening had begun that may have let it in.
        """
        sent = [*self._sent.values(), *self._withdrawn.values()]
        begun = [s for s in sent if self._moves_ns(s.opening) < now_ns]
        opened = merge([s.opening for s in begun])
        waiting = [b for b in self._bodies.values() if b.outlet not in (None, self._outlets.rest)]
        may_be_in = {s.object_id for s in begun}
        may_be_in |= {b.id for b in waiting if self._refused.may_be_let_in(b, opened)}
        self._sent.clear()
        self._withdrawn.clear()
        self._unsure.clear()
        self._refused.clear()
        self._openings = ()
        rulings: list[Ruling] = []
        for body in waiting:
            if body.id not in may_be_in:
                rulings += self._rest(body, Reason.HELD, now_ns=None)
        self._bodies.clear()
        self._unseen_from_ns = None
        return rulings

    def _due(self, now_ns: int) -> list[Body]:
        """Bodies whose command may have to go out now, earliest arrival first."""
        if not self._bodies:
            return []
        lead_ns = (
            (self._settings.lead_ms + self._junction.valve_on_ms) * 1e6
            + self._junction.guard_ns
            + 2 * self._liquid.jump_ns
        )
        due = [
            b
            for b in self._bodies.values()
            if b.outlet not in (None, self._outlets.rest)
            and b.command_id is None
            and b.look_again_ns <= now_ns
            and b.arrival.liquid_ns - b.arrival.error_ns - lead_ns <= now_ns
        ]
        return sorted(due, key=lambda b: b.arrival.liquid_ns)

    def _rule(self, body: Body, now_ns: int) -> list[Ruling]:
        """Send the body's command, or rule it to rest; nothing while it can wait."""
        assert body.outlet is not None
        opening = self._opening_for(body, now_ns)
        move_ns = self._moves_ns(opening)
        wait_ns = move_ns - int(self._settings.lead_ms * 1e6) - now_ns
        if wait_ns > 0:
            # An opening commanded meanwhile may bring the arrival forward, so not for long.
            body.look_again_ns = now_ns + min(wait_ns, LOOK_AGAIN_NS)
            return []
        soonest_ns = now_ns + int(self._settings.min_lead_ms * 1e6)
        if move_ns < soonest_ns:
            if not stands_until(self._openings, body.outlet, soonest_ns, self._junction):
                return self._too_late(body, soonest_ns, now_ns)
            move_ns = soonest_ns
        if self._reaches_into_the_unseen(opening):
            if move_ns > soonest_ns:
                return []  # the next frame may tell
            return self._rest(body, Reason.LATE, now_ns)
        if not any(self._met(body, opening, now_ns)):
            return [self._send(body, opening, move_ns, now_ns)]
        if (narrower := self._beside(body, opening, soonest_ns, now_ns)) is None:
            return self._rest(body, Reason.CONFLICT, now_ns)
        return [self._send(body, narrower, self._moves_ns(narrower), now_ns)]

    def _too_late(self, body: Body, soonest_ns: int, now_ns: int) -> list[Ruling]:
        """To rest, unless another's opening may let it in sooner than the gate could close."""
        shut_ns = soonest_ns + int(self._junction.valve_off_ms * 1e6)
        if self._conflicts.window(body, self._openings).early_ns >= shut_ns:
            return self._rest(body, Reason.LATE, now_ns)
        self._refused.add(body, Reason.LATE)
        self._moves_otherwise = True
        return []

    def _beside(self, body: Body, opening: Opening, soonest_ns: int, now_ns: int) -> Opening | None:
        """An opening that the body will likely meet, and nobody that the given one lets in."""
        with_it = merge([*self._openings, opening])
        at_ns = self._liquid.first_passage_ns(body.arrival.liquid_ns, with_it)
        for aim in aims_beside(self._met(body, opening, now_ns), at_ns, body.arrival.error_ns):
            if (tried := self._alone(body, aim, soonest_ns, now_ns)) is not None:
                body.covered = aim.of(body.arrival)
                return tried
        return None

    def _alone(self, body: Body, aim: Aim, soonest_ns: int, now_ns: int) -> Opening | None:
        """The body's opening, if it can still be commanded and meets nobody."""
        tried = self._opening_for(body, now_ns, aim)
        late = self._moves_ns(tried) < soonest_ns or self._reaches_into_the_unseen(tried)
        return None if late or any(self._met(body, tried, now_ns)) else tried

    def _opening_for(self, body: Body, now_ns: int, aim: Aim = WHOLE) -> Opening:
        assert body.outlet is not None
        known = (self._openings, self._liquid, self._junction, self._bound_ns(now_ns))
        return plan_opening(body.arrival, body.outlet, *known, aim)

    def _moves_ns(self, opening: Opening) -> int:
        """When the valve must be told to open."""
        return opening.open_ns - int(self._junction.valve_on_ms * 1e6)

    def _bound_ns(self, now_ns: int) -> int:
        """Bound of the clock estimate."""
        return self._dispenser.clock_bound_us(now_ns) * 1000

    def _send(self, body: Body, opening: Opening, move_ns: int, now_ns: int) -> Ruling:
        assert body.decision is not None
        back_ns = opening.close_ns - int(self._junction.valve_off_ms * 1e6)
        command = Command(
            self._next_command_id,
            opening.outlet,
            self._dispenser.to_device_us(move_ns),
            self._dispenser.to_device_us(back_ns),
        )
        self._next_command_id += 1
        body.command_id = command.id
        if self._shadow:
            body.outlet = self._outlets.rest
            return Ruling(body.id, body.decision, self._changed(body.decision, Reason.SHADOW), None)
        self._dispenser.send(command, now_ns)
        self._sent[command.id] = Sent(command, body, opening)
        self._unsure.add(command.id)
        self._openings = merge([*self._openings, opening])
        return Ruling(body.id, body.decision, body.decision, command)

    def _reaches_into_the_unseen(self, opening: Opening) -> bool:
        """Whether a body that no frame has shown yet could arrive before the gate is back."""
        if self._unseen_from_ns is None:
            return True
        openings = merge([*self._openings, opening])
        first_ns = self._liquid.first_passage_ns(self._unseen_from_ns, openings)
        return first_ns < opening.close_ns + self._junction.jitter_ns

    def _met(self, body: Body, opening: Opening, now_ns: int) -> Iterator[Window]:
        """See `Conflicts.met`."""
        bodies, bound_ns = self._bodies.values(), self._bound_ns(now_ns)
        under_way = UnderWay(bodies, self._sent, self._unsure, self._openings, bound_ns, now_ns)
        return self._conflicts.met(body, opening, under_way)

    def _withdraw_for(self, body: Body, now_ns: int) -> None:
        """Withdraw commands that would let `body` in where it is not bound for."""
        theirs = self._conflicts.window(body, self._openings)
        guard_ns = self._conflicts.guard_ns(self._bound_ns(now_ns))
        for sent in list(self._sent.values()):
            coming = sent.opening.close_ns > now_ns and not sent.withdrawn
            elsewhere = sent.opening.outlet != body.outlet
            if coming and elsewhere and theirs.overlaps(sent.opening, guard_ns):
                self._withdraw(sent, now_ns)

    def _withdraw(self, sent: Sent, now_ns: int) -> None:
        """Take a command back. What becomes of its object, the device's answer tells: it may hear
        of it too late."""
        self._dispenser.cancel(sent.command.id, now_ns)
        self._withdrawn[sent.command.id] = self._sent.pop(sent.command.id)
        if self._moves_ns(sent.opening) < now_ns:
            # The valve has been told to open: it closes as soon as it can, and the liquid has
            # jumped and will jump back.
            closes_ns = max(now_ns + int(self._junction.valve_off_ms * 1e6), sent.opening.open_ns)
            closed = replace(sent.opening, close_ns=closes_ns)
            kept = Sent(sent.command, sent.body, closed, withdrawn=True)
            self._sent[sent.command.id] = kept
        self._openings = merge([s.opening for s in self._sent.values()])
        self._moves_otherwise = True

    def _ways(self) -> tuple[tuple[Opening, ...], ...]:
        """How the gate may move: with what was withdrawn heard in time, and too late."""
        late = [sent.opening for sent in self._withdrawn.values()]
        return self._openings, merge([*self._openings, *late])

    def _look_again(self, now_ns: int) -> list[Ruling]:
        """Where an opening fell away, the liquid moves otherwise than all others were planned for:
        withdraw those that now meet somebody, and rule those that it alone would have let in."""
        rulings: list[Ruling] = []
        while self._moves_otherwise:
            self._moves_otherwise = False
            for body in list(self._bodies.values()):
                if self._sent and body.outlet not in (None, self._outlets.collect):
                    self._withdraw_for(body, now_ns)
            for body, reason in self._refused.take_unserved(*self._ways()):
                rulings += self._rest(body, reason, now_ns)
        return rulings

    def _rest(self, body: Body, reason: Reason, now_ns: int | None) -> list[Ruling]:
        """Rule a body to rest; given a time, what would let it in is withdrawn."""
        if body.decision is None or body.outlet == self._outlets.rest:
            return []
        before, body.decision = body.decision, self._changed(body.decision, reason)
        body.outlet = self._outlets.rest
        if now_ns is not None:
            self._withdraw_for(body, now_ns)
        return [Ruling(body.id, before, body.decision, None)]

    def _changed(self, decision: Decision, reason: Reason) -> Decision:
        return Decision(self._outlets.rest, reason, decision.p_unhealthy, decision.p_other)

    def prune(self, now_ns: int) -> None:
        """Forget what has passed the junction, and openings that the liquid has forgotten.

        Call with each frame, and only then: a replay leaves idle steps out, and what is forgotten
        earlier or later shifts the liquid's time by some hundred ns.
        """
        self._refused.passed(now_ns, self._openings)
        slack_ns = 2 * self._liquid.jump_ns + self._junction.guard_ns
        gone = [
            b.id
            for b in self._bodies.values()
            if b.arrival.liquid_ns + b.arrival.error_ns + slack_ns < now_ns
        ]
        for body_id in gone:
            del self._bodies[body_id]
        old_ns = now_ns - self._liquid.settled_ns
        old = [c for c, s in self._sent.items() if s.opening.close_ns < old_ns]
        for command_id in old:
            self._unsure.discard(command_id)
            self._withdrawn.pop(command_id, None)
            del self._sent[command_id]
        if old:
            self._openings = merge([s.opening for s in self._sent.values()])
