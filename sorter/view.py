"""Where the view lies on the way to the junction, and when unseen bodies may come out of it."""

from __future__ import annotations

from dataclasses import dataclass

from sorter.track import Arrival


@dataclass(frozen=True, slots=True)
class ViewGeometry:
    """Where the view lies, and how fast bodies can cross it.

    Attributes:
        width_um: of the view, along the flow.
        junction_um: from its left edge to the junction.
        min_speed_um_s, max_speed_um_s: slowest and fastest body that flows.
        frame_period_ns: time between frames.
    """

    width_um: float
    junction_um: float
    min_speed_um_s: float
    max_speed_um_s: float
    frame_period_ns: int

    @property
    def crossing_ns(self) -> float:
        """Shortest time from the left edge to the junction."""
        return self.junction_um / self.max_speed_um_s * 1e9

    @property
    def flush_ns(self) -> int:
        """Longest time from the left edge to the junction: after it, all has been seen."""
        return int(self.junction_um / self.min_speed_um_s * 1e9)

    def earliest_ns(self, x_um: float) -> float:
        """Shortest time from a place in the view to the junction."""
        return (self.junction_um - x_um) / self.max_speed_um_s * 1e9

    def anywhen(self, liquid_ns: float) -> Arrival:
        """Arrival of a body that is in view at a liquid time, and whose speed is not known."""
        first_ns = (self.junction_um - self.width_um) / self.max_speed_um_s * 1e9
        last_ns = self.junction_um / self.min_speed_um_s * 1e9
        return Arrival(liquid_ns + (first_ns + last_ns) / 2, (last_ns - first_ns) / 2)

    def unseen(self, gap_s: float, liquid_ns: float) -> tuple[float, float] | None:
        """First and last liquid time at which a body may arrive that passed in a gap of frames.

        Args:
            gap_s: time between the exposures around the gap.
            liquid_ns: of the later one.

        Returns:
            None when the gap was too short for a body to pass unseen.
        """
        # Two whole views are needed before a body counts as seen at all.
        hidden_s = gap_s + 3 * self.frame_period_ns * 1e-9
        if self.width_um >= hidden_s * self.max_speed_um_s:
            return None
        slowest_um_s = max(self.min_speed_um_s, self.width_um / hidden_s)
        first_ns = liquid_ns - gap_s * 1e9 + self.crossing_ns
        return first_ns, liquid_ns + (self.junction_um - self.width_um) / slowest_um_s * 1e9
