"""The states of a run, and how it may go from one to the next.

    idle ──> ready ──> priming ──> running ──> draining ──> stopped
               ▲          ▲ │         │            ▲
               │          │ └──> paused <──────────┤ (paused may drain too)
               │          └────────┘
    faulted <──┴── from every state but idle and stopped

* **idle**: nothing is open. **ready**: camera, dispenser, pump, model and record answer; the flow
  is held, the gate rests.
* **priming**: the flow runs and frames come, but nothing is collected yet: what is between view
  and junction has not been seen, and the background is being learnt.
* **running**: sorting. **paused**: the flow is held, the gate rests; what was under way is bound
  for rest, because nobody knows how far it coasts. A pause ends with priming, by the operator's
  word or after a clog's recovery. A dispenser that was lost is waited for here.
* **draining**: what was in view is still sorted, nothing after it. **stopped**: the end.
* **faulted**: the flow is held, the gate rests, and only the operator's word leads back to ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sorter.errors import RunFault


class RunState(StrEnum):
    """Where a run is in its life."""

    IDLE = "idle"
    READY = "ready"
    PRIMING = "priming"
    RUNNING = "running"
    PAUSED = "paused"
    DRAINING = "draining"
    FAULTED = "faulted"
    STOPPED = "stopped"


NEXT: Mapping[RunState, frozenset[RunState]] = {
    RunState.IDLE: frozenset({RunState.READY}),
    RunState.READY: frozenset({RunState.PRIMING, RunState.STOPPED, RunState.FAULTED}),
    RunState.PRIMING: frozenset(
        {RunState.RUNNING, RunState.PAUSED, RunState.DRAINING, RunState.FAULTED}
    ),
    RunState.RUNNING: frozenset({RunState.PAUSED, RunState.DRAINING, RunState.FAULTED}),
    RunState.PAUSED: frozenset({RunState.PRIMING, RunState.DRAINING, RunState.FAULTED}),
    RunState.DRAINING: frozenset({RunState.STOPPED, RunState.FAULTED}),
    RunState.FAULTED: frozenset({RunState.READY, RunState.STOPPED}),
    RunState.STOPPED: frozenset(),
}
"""The states that each state may go to."""

FLOWS = frozenset({RunState.PRIMING, RunState.RUNNING, RunState.DRAINING})
"""The states in which liquid flows."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of a run's life.

    Attributes:
        at_ns: host time.
        by: who or what caused it: ``operator``, ``pedal``, ``run``, ``limit:…``, ``fault:…``.
        why: in words.
    """

    at_ns: int
    before: RunState
    after: RunState
    by: str
    why: str


class Life:
    """The state of one run. Every change goes through `move`."""

    def __init__(self) -> None:
        self.state = RunState.IDLE

    def may(self, to: RunState) -> bool:
        """Whether the run may go there from where it is."""
        return to in NEXT[self.state]

    def move(self, to: RunState, now_ns: int, *, by: str, why: str) -> Transition:
        """Go to another state. Raises `RunFault` where the diagram has no such step."""
        if not self.may(to):
            raise RunFault(
                f"a run that is {self.state} can't become {to}",
                on=f"by {by}: {why}",
                do="This is a defect of the program: please report it with the record",
            )
        transition = Transition(now_ns, self.state, to, by, why)
        self.state = to
        return transition
