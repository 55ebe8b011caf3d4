"""The simulated camera in virtual time: the same scene, delays and stalls, without threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from drivers.exposure_clock import ExposureClock
from drivers.mmcore_camera import MMCoreCameraSettings
from drivers.ports import CameraInfo, Clock, Frame
from hardware_sim.gate_log import Edge
from hardware_sim.scene import Scene
from hardware_sim.transfer import Transfers, elapsed_ms, exposed_ns


class VirtualClock:
    """`drivers.ports.Clock` that stands still unless it is moved."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Virtual host time."""
        return self._now_ns

    def wait_until(self, deadline_ns: int) -> None:
        """Jump to ``deadline_ns``; nothing happens if it has passed."""
        self._now_ns = max(self._now_ns, deadline_ns)

    def advance_to(self, t_ns: int) -> None:
        """Jump to ``t_ns``.

        Raises:
            ValueError: it lies in the past.
        """
        if t_ns < self._now_ns:
            raise ValueError(f"virtual time can't go back from {self._now_ns} to {t_ns} ns")
        self._now_ns = t_ns


class VirtualCamera:
    """`drivers.ports.Camera` on a scene in virtual time.

    A frame can be popped once the clock has reached its receive time; it is rendered then, with
    all switches of the gate that took effect before its exposure.

    Args:
        scene: not yet begun; its time zero becomes the moment of `start`.
        settings: the camera's settings on the controller's side, for the exposure clock.
        clock: virtual host time.
        edges: all switches of gate and pump so far, in order; called once per frame.
    """

    def __init__(
        self,
        scene: Scene,
        settings: MMCoreCameraSettings,
        clock: Clock,
        edges: Callable[[], Sequence[Edge]] = tuple,
    ) -> None:
        self._scene = scene
        self._camera = scene.settings.camera
        self._label = settings.camera
        self._clock = clock
        self._edges = edges
        self._edges_given = 0
        self._exposures = ExposureClock(settings.transfer())
        self._transfers: Transfers | None = None
        self._origin_ns = 0
        self._next = 0
        self._due: deque[tuple[int, int]] = deque()
        self._stopped_ns: int | None = None
        self._popped = 0
        self._closed = False

    def info(self) -> CameraInfo:
        """Label, frame size and bit depth."""
        c = self._camera
        return CameraInfo(self._label, c.width_px, c.height_px, c.bit_depth)

    def start(self) -> None:
        """Scene time zero is now; the first exposure too."""
        if self._transfers is None:
            self._origin_ns = self._clock.now_ns()
            self._transfers = Transfers(self._camera, self._origin_ns, self._scene.settings.seed)
            self._scene.begin(self._origin_ns)

    @property
    def next_due_ns(self) -> int | None:
        """Receive time of the next frame, for a scheduler; None when none will come."""
        self._plan()
        return self._due[0][1] if self._due else None

    def pop(self) -> Frame | None:
        """The oldest frame that has arrived by now, or None."""
        # Asked 10,000 times a second, and mostly in vain.
        if self._due and self._due[0][1] > self._clock.now_ns():
            return None
        due_ns = self.next_due_ns
        if due_ns is None or due_ns > self._clock.now_ns():
            return None
        number, due_ns = self._due.popleft()
        at_ns = exposed_ns(self._camera, self._origin_ns, number)
        edges = self._edges()
        pixels = self._scene.advance(at_ns, edges[self._edges_given :], number)
        self._edges_given = len(edges)
        elapsed_ns = round(elapsed_ms(self._camera, number) * 1e6)
        exposure = self._exposures.observe(elapsed_ns, due_ns)
        self._popped += 1
        return Frame(pixels, number, exposure.exposed_ns, exposure.error_ns, due_ns)

    def waiting(self) -> int:
        """Whether the next frame has arrived by now; more than one is not looked ahead."""
        due_ns = self.next_due_ns
        return int(due_ns is not None and due_ns <= self._clock.now_ns())

    def stop(self) -> None:
        """Expose no more; frames that had arrived can still be popped."""
        if self._stopped_ns is None:
            self._stopped_ns = self._clock.now_ns()

    def close(self) -> None:
        """End the scene's truth; safe to call twice."""
        if not self._closed:
            self._closed = True
            self.stop()
            self._scene.end(
                frames_rendered=self._popped,
                frames_dropped=0,
                frames_in_transit=0,
                t_ns=self._clock.now_ns(),
            )

    def _plan(self) -> None:
        """Keep one frame planned ahead, unless it would arrive after the camera was stopped."""
        if self._due or self._transfers is None:
            return
        at_ns = exposed_ns(self._camera, self._origin_ns, self._next)
        if self._stopped_ns is not None and at_ns > self._stopped_ns:
            return
        due_ns = self._transfers.due_ns(at_ns)
        self._next += 1
        if self._stopped_ns is None or due_ns <= self._stopped_ns:
            self._due.append((self._next - 1, due_ns))
