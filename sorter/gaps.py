"""Frames that did not come, and what may have passed unseen meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.ports import Frame
from sorter.view import ViewGeometry


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames that were lost between two that came.

    Attributes:
        missing: how many.
        unseen: first and last liquid time, ns, at which a body may arrive that nobody saw; None
            where the gap was too short for one.
    """

    missing: int
    unseen: tuple[float, float] | None

    def words(self, number: int) -> str:
        """For people; ``number`` is of the frame after the gap."""
        fate = "what may have passed unseen goes to rest"
        then = fate if self.unseen else "no body can have passed"
        return f"{self.missing} frames lost before frame {number}; {then}"


def gap_between(last: Frame, frame: Frame, view: ViewGeometry, liquid_ns: float) -> Gap | None:
    """The gap before a frame, or None.

    Args:
        last: the frame before it that came.
        liquid_ns: liquid time of the frame.
    """
    if frame.number <= last.number + 1:
        return None
    missing = frame.number - last.number - 1
    # By the times and by the numbers: a camera's times may be wrong just then.
    counted_ns = (missing + 1) * view.frame_period_ns
    gap_s = max(frame.exposed_ns - last.exposed_ns, counted_ns) * 1e-9
    return Gap(missing, view.unseen(gap_s, liquid_ns))
