"""Which bodies come and when: spheroids in bursts and gaps, doubles, clumps, debris, bubbles.

Arrivals depend on the seed alone, never on frame times or on the gate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from heapq import merge

import numpy as np

from hardware_sim.scene_settings import FeedSettings
from hardware_sim.spheroids import BodySpec, draw_bubble, draw_debris, draw_fibre

DrawSpheroid = Callable[[np.random.Generator, float], BodySpec]
"""Draws a spheroid, given the share of unhealthy ones."""

_CLUMP_SIZES = (3, 4, 5)
# The share of the rate to which a decaying feed falls.
_RUN_DRY = 0.2


@dataclass(frozen=True, slots=True)
class Arrival:
    """A body, or a touching group, that reaches the view's left edge at ``t_s``.

    Attributes:
        t_s: scene time in steady flow; pulsation and gate bring it forward or put it off.
        members: one spec, or those of a touching group.
        seed: of everything random about its motion.
    """

    t_s: float
    members: tuple[BodySpec, ...]
    seed: int


class _Mood:
    """Factor on the feed's rate: steady, burst or gap, of random lengths, one on average."""

    def __init__(self, feed: FeedSettings, rng: np.random.Generator) -> None:
        self._feed = feed
        self._rng = rng
        self._until_s = 0.0
        self._factor = 1.0
        whole = feed.steady_s + feed.burst_s + feed.gap_s
        self._steady = max(0.0, (whole - feed.burst_factor * feed.burst_s) / feed.steady_s)
        self._states: Iterator[tuple[float, float]] = iter(())

    def factor(self, t_s: float) -> float:
        """Factor at ``t_s``; times must not go back."""
        if not self._feed.bursts:
            return 1.0
        while t_s >= self._until_s:
            length_s, self._factor = self._next()
            self._until_s += float(self._rng.exponential(length_s))
        return self._factor

    def _next(self) -> tuple[float, float]:
        feed = self._feed
        for state in self._states:
            return state
        # One round holds each state once, so that the mean over rounds is one.
        round_ = [(feed.steady_s, self._steady), (feed.burst_s, feed.burst_factor)]
        round_ += [(feed.gap_s, 0.0)]
        self._states = iter([round_[i] for i in self._rng.permutation(3)])
        return next(self._states)

    @property
    def most(self) -> float:
        """The largest factor."""
        return max(self._feed.burst_factor, self._steady, 1.0)


def arrivals(feed: FeedSettings, seed: int, draw_spheroid: DrawSpheroid) -> Iterator[Arrival]:
    """All arrivals in the order of time, without end (unless every rate is zero)."""
    per_minute = 1.0 / 60.0
    debris = partial(draw_debris, largest_um=feed.debris_max_um)
    return merge(
        _spheroids(feed, np.random.default_rng([seed, 101]), draw_spheroid),
        _others(feed.rate_hz * feed.debris_per_spheroid, debris, feed, [seed, 102]),
        _others(feed.bubbles_per_min * per_minute, draw_bubble, feed, [seed, 103]),
        _others(feed.fibres_per_min * per_minute, draw_fibre, feed, [seed, 104]),
        key=lambda arrival: arrival.t_s,
    )


def _spheroids(
    feed: FeedSettings, rng: np.random.Generator, draw: DrawSpheroid
) -> Iterator[Arrival]:
    """An inhomogeneous Poisson process, by thinning (Lewis and Shedler 1979)."""
    if feed.rate_hz <= 0:
        return
    mood = _Mood(feed, rng)
    phase = float(rng.uniform(0.0, 2.0 * math.pi))
    t_s = 0.0
    while True:
        t_s += float(rng.exponential(1.0 / (feed.rate_hz * mood.most)))
        decay = max(_RUN_DRY, math.exp(-t_s / feed.decay_s))
        if rng.uniform() * mood.most >= mood.factor(t_s) * decay:
            continue
        turn = 2.0 * math.pi * t_s / feed.drift_period_s + phase
        unhealthy = min(1.0, feed.unhealthy * (1.0 + feed.unhealthy_drift * math.sin(turn)))
        members = tuple(draw(rng, unhealthy) for _ in range(_group_size(feed, rng)))
        yield Arrival(feed.lead_in_s + t_s, members, int(rng.integers(0, 2**31)))


def _group_size(feed: FeedSettings, rng: np.random.Generator) -> int:
    u = float(rng.uniform())
    if u < feed.doubles:
        return 2
    return int(rng.choice(_CLUMP_SIZES)) if u < feed.doubles + feed.clumps else 1


def _others(
    rate_hz: float,
    draw: Callable[[np.random.Generator], BodySpec],
    feed: FeedSettings,
    seed: list[int],
) -> Iterator[Arrival]:
    rng = np.random.default_rng(seed)
    t_s = feed.lead_in_s
    while rate_hz > 0:
        t_s += float(rng.exponential(1.0 / rate_hz))
        yield Arrival(t_s, (draw(rng),), int(rng.integers(0, 2**31)))
