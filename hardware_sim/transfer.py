"""The way of a frame from the simulated sensor to the host: delay, jitter, stalls."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hardware_sim.scene_settings import SceneCamera


class Transfers:
    """Says when each frame is in the host's hands; seeded, called once a frame, in order.

    The delay is spread evenly over its range. A stall lets nothing through for a while, once per
    ``stall_every_s``; frames come out in order.
    """

    def __init__(self, camera: SceneCamera, origin_ns: int, seed: int) -> None:
        self._camera = camera
        self._origin_ns = origin_ns
        self._rng = np.random.default_rng([seed, 21])
        self._first_stall_s = camera.stall_every_s * float(self._rng.uniform(0.4, 0.9))
        self._jitters = self._draw_jitters()
        self._last_ns = origin_ns
        self._waits_ns = round(self._first_stall_s * 1e9)
        self._every_ns = round(camera.stall_every_s * 1e9)
        self._stall_ns = round(camera.stall_ms * 1e6)

    def due_ns(self, exposed_ns: int) -> int:
        """Host time at which the frame exposed at ``exposed_ns`` has arrived."""
        camera = self._camera
        jitter_ms = camera.transfer_jitter_ms * next(self._jitters)
        due_ns = exposed_ns + round((camera.transfer_delay_ms + jitter_ms) * 1e6)
        due_ns = max(due_ns, self._last_ns)
        stalled_ns = self._in_stall_ns(due_ns)
        if 0 <= stalled_ns < self._stall_ns:
            due_ns += self._stall_ns - stalled_ns
        self._last_ns = due_ns
        return due_ns

    def _draw_jitters(self) -> Iterator[float]:
        while True:
            yield from self._rng.uniform(-1.0, 1.0, 256).tolist()

    def _in_stall_ns(self, t_ns: int) -> int:
        """Time since the last stall began; negative before the first."""
        since_ns = t_ns - self._origin_ns - self._waits_ns
        return since_ns if since_ns < 0 else since_ns % self._every_ns


def exposed_ns(camera: SceneCamera, origin_ns: int, number: int) -> int:
    """Host time of mid-exposure of frame ``number``; the camera's own clock paces it."""
    return origin_ns + round(number * camera.period_ns)


def elapsed_ms(camera: SceneCamera, number: int) -> float:
    """What the camera's own clock shows at that exposure, ms, to 0.01 ms as adapters print it."""
    return round(camera.clock_zero_ms + number * 1e3 / camera.frame_rate_hz, 2)
