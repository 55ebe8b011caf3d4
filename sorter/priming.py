"""Until when nothing is collected, when a run starts and when it goes on after a pause."""

from __future__ import annotations

from sorter.liquid import FOREVER_NS
from sorter.view import ViewGeometry


class Priming:
    """Waits until the flow is known to run, and then until all that nobody saw has passed.

    What lies between view and junction when frames begin to come is anybody's: bodies of the run
    before, or of a controller that was killed. Only the operator can know that there are none.

    Args:
        view: how long the slowest body takes.
        prime_ns: the least time.
        settles_ns: so long the flow may still speed up.
        empty: the channel holds no bodies when the run starts.
    """

    def __init__(
        self, view: ViewGeometry, prime_ns: int, *, settles_ns: int = 0, empty: bool
    ) -> None:
        self._settles_ns = settles_ns
        self._flushed_ns = max(prime_ns, settles_ns + view.flush_ns)
        self._lasts_ns = max(prime_ns, settles_ns) if empty else self._flushed_ns
        self._looks_ns: int | None = None
        self._flows_ns: int | None = None

    @property
    def until_ns(self) -> int:
        """Host time at which it is over; far away while that isn't known."""
        if self._looks_ns is None or self._flows_ns is None:
            return FOREVER_NS
        return max(self._looks_ns, self._flows_ns) + self._lasts_ns

    @property
    def steady_ns(self) -> int:
        """Host time from which the flow keeps its speed; far away while that isn't known."""
        return FOREVER_NS if self._flows_ns is None else self._flows_ns + self._settles_ns

    @property
    def flows(self) -> bool:
        """Whether the flow is known to run."""
        return self._flows_ns is not None

    def looked(self, exposed_ns: int) -> None:
        """A frame shows the flow; the first one since the flow was let run counts."""
        if self._looks_ns is None:
            self._looks_ns = exposed_ns

    def flowing(self, now_ns: int) -> None:
        """The flow runs, by what the pump says."""
        if self._flows_ns is None:
            self._flows_ns = now_ns

    def again(self) -> None:
        """The flow was held: what lies between view and junction was lost sight of."""
        self._lasts_ns = self._flushed_ns
        self._looks_ns = self._flows_ns = None
