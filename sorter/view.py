"""Where the view lies, and what can pass it unseen."""

from __future__ import annotations

from dataclasses import dataclass

from sorter.track import Arrival, Track


@dataclass(frozen=True, slots=True)
class ViewGeometry:
    """Where the view lies, and how fast bodies can cross it."""

    width_um: float
    junction_um: float
    min_speed_um_s: float
    max_speed_um_s: float
    frame_period_ns: int

    @property
    def crossing_ns(self) -> float:
        """How long the fastest body is in view."""
        return self.width_um / self.max_speed_um_s * 1e9

    @property
    def flushed_ns(self) -> float:
        """How long the slowest body needs from the view's left edge to the junction."""
        return self.junction_um / self.min_speed_um_s * 1e9

    def anywhen(self, liquid_ns: float) -> Arrival:
        """Arrival of a body in view whose speed is not known."""
        first_ns = (self.junction_um - self.width_um) / self.max_speed_um_s * 1e9
        last_ns = self.flushed_ns
        return Arrival(liquid_ns + (first_ns + last_ns) / 2, (last_ns - first_ns) / 2)

    def unseen_in(self, gap_ns: int, liquid_ns: float) -> tuple[float, float] | None:
        """When bodies can arrive that passed in a gap between frames; None: there can be none.

        Args:
            gap_ns: from the last frame before it to the first after it.
            liquid_ns: liquid time of the first after it; so are the times that come back.
        """
        # Two whole views are needed before a body counts as seen at all.
        hidden_ns = gap_ns + 3 * self.frame_period_ns
        if self.width_um >= hidden_ns * 1e-9 * self.max_speed_um_s:
            return None
        slowest_um_s = max(self.min_speed_um_s, self.width_um / (hidden_ns * 1e-9))
        first_ns = liquid_ns - gap_ns + self.junction_um / self.max_speed_um_s * 1e9
        last_ns = liquid_ns + (self.junction_um - self.width_um) / slowest_um_s * 1e9
        return first_ns, last_ns

    def near(self, gap_ns: int, track: Track) -> bool:
        """Whether a track's body may have been in view in a gap that ended at host time gap_ns."""
        first_ns = track.first_exposed_ns - self.crossing_ns
        return first_ns <= gap_ns <= track.last_exposed_ns + 4 * self.crossing_ns
