"""A New Era NE-1000 syringe pump on a serial port, RS-232 in Basic mode, 19,200 baud 8N1.

Written from the pump's published manual; never run against the pump itself here. In Basic mode
the pump does not notice a host that has died: it pumps on. Only the dispenser's pump-hold output
holds the flow then (docs/pumps.md).
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable

from drivers import ne1000_faults as faults
from drivers import ne1000_scripts as scripts
from drivers.ne1000_scripts import DISPENSED, RUN, STOP, Asking, ask
from drivers.ne1000_settings import NE1000Settings
from drivers.ne1000_talk import PAUSE, Say, Script, Talk
from drivers.ne1000_volume import InfusedVolume
from drivers.ne1000_wire import Answer, Dispensed, Prompt, dispensed, rate_words
from drivers.ports import Clock, Link, PumpAbilities, PumpState, PumpStatus
from sorter.errors import LinkError, PumpError

__all__ = ["NE1000Pump", "NE1000Settings"]

MS = 1_000_000
_LOOK_NS = MS
_LONGEST_PULSE_UL = 1_000.0
_READINGS = 5


class NE1000Pump:
    """`drivers.ports.Pump` on an NE-1000.

    The first `step` holds the pump, then sets it up. A hold goes out in the call itself, ahead
    of all that waits, and is said again until three answers on end say that the plunger stands
    and its volume no longer grows; until then the state is `PumpState.UNKNOWN`. Whatever goes
    wrong raises `PumpError` once, drops what was asked for, and holds the pump.

    Args:
        link: the pump's port; closed with the pump.
        clock: host time; waited on in `close` alone.
        settings: the syringe, the rate, and how patient to be.
    """

    def __init__(self, link: Link, clock: Clock, settings: NE1000Settings) -> None:
        self._link = link
        self._clock = clock
        self._settings = settings
        answer_ns = settings.answer_ms * MS
        tries = settings.retries + 1
        self._talk = Talk(link, settings.address, answer_ns, tries, self._alarmed)
        self._patience_ns = 4 * tries * answer_ns
        self._volume = InfusedVolume(2 * answer_ns)
        self._queue: deque[Callable[[], Script]] = deque()
        self._goal = PumpState.HELD
        self._state = PumpState.UNKNOWN
        self._rate_ul_s = settings.rate_ul_s
        self._wanted_ul_s = settings.rate_ul_s
        self._began = False
        self._holding = False
        self._is_set_up = False
        self._set_up_failed = False
        self._fault = False
        self._trouble: PumpError | None = None
        self._stood_ul = math.inf
        # It has said that it stands when it did not.
        self._distrusted = False
        self._next_poll_ns = 0
        self._now_ns = 0
        self._closed = False

    def abilities(self) -> PumpAbilities:
        """All three."""
        return PumpAbilities(rate=True, volume=True, reverse=True)

    def status(self) -> PumpStatus:
        """State as last confirmed, set rate, volume infused so far (a lower bound), and when the
        pump last answered. Unknown from an order on until the pump has confirmed it.
        """
        return PumpStatus(self._state, self._rate_ul_s, self._volume.total_ul, self._talk.heard_ns)

    # -- orders -------------------------------------------------------------------------------

    def start(self, now_ns: int) -> None:
        """Infuse, after what was asked for before; raises `PumpError` during a fault."""
        self._check_ready()
        self._queue.append(self._run)

    def resume(self, now_ns: int) -> None:
        """Let a held infusion go on; raises `PumpError` during a fault."""
        self.start(now_ns)

    def hold(self, now_ns: int) -> None:
        """Pause the pump now; raises `LinkError` when the port is gone."""
        self._stand(PumpState.HELD, now_ns)

    def stop(self, now_ns: int) -> None:
        """End the infusion now; raises `LinkError` when the port is gone."""
        self._stand(PumpState.STOPPED, now_ns)

    def reverse(self, volume_ul: float, now_ns: int) -> None:
        """Withdraw a little at the set rate, then stand held.

        Raises:
            PumpError: during a fault, or no volume between 1 and 1,000 µL.
        """
        self._check_ready()
        if not 1 <= volume_ul <= _LONGEST_PULSE_UL:
            raise PumpError(f"{volume_ul:g} µL is no reverse pulse", do="Ask for 1 to 1,000 µL")
        self._queue.append(lambda: self._reverse(volume_ul))

    def set_rate_ul_s(self, rate_ul_s: float, now_ns: int) -> None:
        """Set the rate, µL/s, whether the pump runs or not.

        Raises:
            PumpError: during a fault, or a rate that the pump has no number for. What its
                syringe can't do, the pump says itself: `step` raises then.
        """
        self._check_ready()
        try:
            rate_words(rate_ul_s)
        except ValueError as error:
            raise faults.no_rate(rate_ul_s) from error
        self._queue.append(lambda: self._set_rate(rate_ul_s))

    # -- stepping -----------------------------------------------------------------------------

    def step(self, now_ns: int) -> None:
        """Read what arrived, say what is due; never blocks.

        Raises:
            PumpError: no answer, an alarm, or a pump that does other than told; once for each
                occasion. It is being held from then on.
            LinkError: the port is gone.
        """
        if self._closed:
            return
        self._now_ns = now_ns
        try:
            if not self._began:
                # Whatever it did before this program came. What was asked for already waits.
                self._began = True
                self._interrupt(told=False)
            self._talk.step(now_ns)
            if self._talk.idle:
                self._say_next(now_ns)
        except PumpError as error:
            self._fail(error)
        except LinkError:
            self._gone()
            raise
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            raise trouble

    def close(self) -> None:
        """Hold the pump, wait until it says so, and release the port; safe to call twice.

        Raises:
            PumpError: it did not confirm; the port is released all the same.
        """
        if self._closed:
            return
        end_ns = self._clock.now_ns() + self._patience_ns
        held = False
        try:
            self.hold(self._clock.now_ns())
            while not held and (now_ns := self._clock.now_ns()) < end_ns:
                # The port has no wait of its own.
                self._clock.wait_until(now_ns + _LOOK_NS)
                held = self._closing_step()
        except LinkError:
            held = False
        finally:
            self._closed = True
            self._link.close()
        if not held:
            raise faults.not_held()

    def _closing_step(self) -> bool:
        try:
            self.step(self._clock.now_ns())
        except PumpError:
            return False
        return not self._holding and self._state is PumpState.HELD

    def _say_next(self, now_ns: int) -> None:
        if self._queue:
            self._talk.begin(self._queue.popleft()(), now_ns)
        elif not self._is_set_up and not self._set_up_failed:
            self._talk.begin(self._set_up(), now_ns)
        elif now_ns >= self._next_poll_ns:
            self._next_poll_ns = now_ns + self._settings.poll_ms * MS
            self._talk.begin(self._poll(), now_ns)

    def _stand(self, goal: PumpState, now_ns: int) -> None:
        self._check_open()
        self._began = True
        self._queue.clear()
        if self._holding and self._goal is goal:
            # It is being said already; saying it once a step would choke the line.
            return
        self._now_ns = now_ns
        self._goal = goal
        self._interrupt(told=False)

    def _interrupt(self, *, told: bool) -> None:
        if self._state in (PumpState.RUNNING, PumpState.REVERSING):
            self._state = PumpState.UNKNOWN
        self._holding = True
        self._talk.interrupt(self._hold(told), self._now_ns)

    def _fail(self, error: PumpError) -> None:
        """Say it once, and hold the pump."""
        self._trouble = error
        self._fault = True
        self._wanted_ul_s = self._rate_ul_s
        self._state = PumpState.UNKNOWN
        self._queue.clear()
        if self._goal is not PumpState.STOPPED:
            self._goal = PumpState.HELD
        self._interrupt(told=True)

    def _gone(self) -> None:
        """Nothing can be said; a hold is the first thing to be said if that changes."""
        self._state, self._fault = PumpState.UNKNOWN, True
        self._queue.clear()
        if not self._holding:
            self._goal = PumpState.HELD
            with contextlib.suppress(LinkError):
                self._interrupt(told=True)

    def _alarmed(self, answer: Answer, now_ns: int) -> None:
        """The pump stands; the answer has acknowledged the alarm, and nothing else was done."""
        if answer.alarm == "R" and not self._is_set_up:
            # Nothing ran: it was switched on before this program came.
            self._interrupt(told=False)
            return
        self._is_set_up = False
        self._fail(faults.alarm(answer))

    def _check_open(self) -> None:
        if self._closed:
            raise PumpError("the syringe pump is closed", do="Connect to it again")

    def _check_ready(self) -> None:
        self._check_open()
        if self._fault:
            raise faults.unready()

    # -- scripts ------------------------------------------------------------------------------

    def _hold(self, told: bool) -> Script:
        """Say STP until the pump stands; ``told``: the trouble was already raised."""
        misses = 0
        while True:
            answer = yield STOP
            # Told once, it pauses; told again, it stops.
            half = (
                answer is not None
                and answer.prompt is Prompt.PAUSED
                and self._goal is PumpState.STOPPED
            )
            stands = answer is not None and answer.stands and not half
            if stands and (yield from self._stands()):
                break
            misses += 1
            if misses > self._settings.retries and not told:
                told = self._fault = True
                self._state = PumpState.UNKNOWN
                self._trouble = faults.disobeys(answer)
        self._state = self._goal
        self._holding = self._fault = False

    def _stands(self) -> Asking[bool]:
        """Whether two answers on end agree that the plunger stands where it stood."""
        before: Dispensed | None = None
        for _ in range(_READINGS):
            if before is not None and self._distrusted:
                # Long enough for a plunger that moves to show in the last digit.
                yield Say(None, wait_ns=round(3e9 * before.step_ul / self._rate_ul_s) + MS)
            answer = yield DISPENSED
            if answer is None or answer.error is not None or not answer.stands:
                return False
            reading = self._note(answer)
            if reading == before:
                self._stood_ul = reading.infused_ul
                return True
            before = reading
        return False

    def _set_up(self) -> Script:
        self._set_up_failed = True
        yield from self._tidy()
        yield from scripts.set_up(self._settings.diameter_mm, self._wanted_ul_s)
        self._volume.cleared(self._now_ns)
        self._stood_ul = 0.0
        self._rate_ul_s = self._wanted_ul_s
        self._is_set_up, self._set_up_failed = True, False

    def _run(self) -> Script:
        yield from self._prepare()
        yield from scripts.set_rate(self._wanted_ul_s)
        self._rate_ul_s = self._wanted_ul_s
        self._goal, self._state = PumpState.RUNNING, PumpState.UNKNOWN
        for _ in range(self._settings.retries + 1):
            answer = yield RUN
            if answer is None:
                yield from self._tidy()
                answer = yield from ask(DISPENSED)
            if answer.prompt is Prompt.INFUSING:
                self._state = PumpState.RUNNING
                return
            if not answer.stands:
                break
        raise faults.not_starting()

    def _set_rate(self, rate_ul_s: float) -> Script:
        self._wanted_ul_s = rate_ul_s
        yield from self._prepare()
        yield from scripts.set_rate(rate_ul_s)
        self._rate_ul_s = rate_ul_s

    def _reverse(self, volume_ul: float) -> Script:
        yield from self._prepare()
        # Until all is put back, a start begins with a new set-up.
        self._is_set_up, self._set_up_failed = False, True
        yield from scripts.stopped()
        yield from scripts.set_rate(self._rate_ul_s)
        yield from scripts.put_word("DIR", "WDR")
        yield from scripts.set_volume(self._settings.diameter_mm, volume_ul)
        yield from self._tidy()
        self._goal, self._state = PumpState.REVERSING, PumpState.UNKNOWN
        # Said once: a second RUN might be a second pulse.
        answer = yield RUN
        if answer is None or answer.prompt is not Prompt.WITHDRAWING:
            raise faults.not_reversing()
        self._state = PumpState.REVERSING
        yield from self._withdrawn(volume_ul)
        self._goal = PumpState.HELD
        self._holding = True
        yield from self._hold(told=False)
        yield from scripts.put_word("DIR", "INF")
        yield from scripts.set_volume(self._settings.diameter_mm, 0.0)
        self._is_set_up, self._set_up_failed = True, False

    def _withdrawn(self, volume_ul: float) -> Script:
        """Wait for the end of a pulse."""
        usual_ns = round(volume_ul / self._rate_ul_s * 1e9)
        end_ns = self._now_ns + 2 * usual_ns + self._patience_ns
        while True:
            yield Say(None, wait_ns=min(self._settings.poll_ms * MS, usual_ns // 4 + MS))
            answer = yield from ask(DISPENSED)
            self._note(answer)
            if answer.stands:
                return
            if answer.prompt is not Prompt.WITHDRAWING or self._now_ns > end_ns:
                raise faults.endless(answer)

    def _poll(self) -> Script:
        answer = yield from ask(DISPENSED)
        reading = self._note(answer)
        if self._goal is PumpState.RUNNING:
            wrong = answer.prompt is not Prompt.INFUSING
        else:
            wrong = not answer.stands
        if wrong:
            raise faults.unasked(answer)
        if answer.stands and self._grew(reading):
            # One reading may be damaged in a way that the wire doesn't show.
            answer = yield from ask(DISPENSED)
            if self._grew(self._note(answer)):
                self._distrusted = True
                raise faults.disobeys(answer)

    def _grew(self, reading: Dispensed) -> bool:
        return reading.infused_ul > self._stood_ul + reading.step_ul

    def _prepare(self) -> Script:
        yield from self._tidy()
        if not self._is_set_up:
            yield from self._set_up()

    def _tidy(self) -> Script:
        """Nothing acts before late answers have had their time."""
        while self._talk.dirty:
            yield PAUSE

    def _note(self, answer: Answer) -> Dispensed:
        reading = dispensed(answer.data)
        fastest_ul_s = max(self._rate_ul_s, self._wanted_ul_s)
        self._volume.take(reading, fastest_ul_s, self._now_ns)
        return reading
