"""What is under way to the junction: bodies, commands, and what becomes of decisions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drivers.ports import Command
from sorter.decide import Decision
from sorter.liquid import Opening
from sorter.track import Arrival


@dataclass(slots=True)
class Body:
    """A body that has been seen and has not passed the junction.

    Attributes:
        id: the object's id; negative for a stretch of time in which bodies may have gone unseen.
        arrival: predicted arrival at the junction, in liquid time.
        outlet: where it is bound; None while undecided.
        look_again_ns: its command can't be due before this time.
        covered: the part of its arrival that its opening covers, where that isn't all of it.
    """

    id: int
    arrival: Arrival
    outlet: str | None = None
    decision: Decision | None = None
    command_id: int | None = None
    look_again_ns: int = 0
    covered: Arrival | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A command that was sent, with the opening (effective times) that it causes.

    A withdrawn one whose gate already stood open is kept, closed early: the liquid remembers. So
    does it keep its body, which may be over the junction when the device is heard to refuse.
    """

    command: Command
    body: Body
    opening: Opening
    withdrawn: bool = False

    @property
    def object_id(self) -> int:
        """Whose it is."""
        return self.body.id


_TELLS_NS = 30_000_000  # that an opening is over, a device says sooner


def began_unheard(unsure: Iterable[Sent], time_ns: int) -> bool:
    """Whether an opening that the device has not confirmed should have begun by a host time."""
    return any(sent.opening.open_ns <= time_ns for sent in unsure)


def ended_unheard(withdrawn: Iterable[Sent], time_ns: int) -> bool:
    """Whether a withdrawn opening would be over by a host time, and the device has not said which
    it heard first."""
    return any(sent.opening.close_ns + _TELLS_NS <= time_ns for sent in withdrawn)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of a decision: a command that was sent, or a decision that was taken back.

    Attributes:
        object_id: whose.
        before: the decision as it was.
        decision: the decision as it is now.
        command: what was sent, None when the object goes to rest.
    """

    object_id: int
    before: Decision
    decision: Decision
    command: Command | None
