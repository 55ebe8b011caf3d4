from __future__ import annotations

from collections.abc import Callable
from itertools import islice, takewhile

import numpy as np
import pytest

from hardware_sim.feed import Arrival, arrivals
from hardware_sim.scene_settings import FeedSettings
from hardware_sim.spheroids import BodySpec, draw_spheroid


def draw(rng: np.random.Generator, unhealthy: float) -> BodySpec:
    return draw_spheroid(rng, unhealthy_fraction=unhealthy)


def until(feed: FeedSettings, t_s: float, seed: int = 0) -> list[Arrival]:
    return list(takewhile(lambda a: a.t_s < t_s, arrivals(feed, seed, draw)))


def spheroids(found: list[Arrival]) -> list[Arrival]:
    return [a for a in found if a.members[0].kind == "spheroid"]


STEADY = FeedSettings(rate_hz=5.0, decay_s=1e9, unhealthy_drift=0.0, lead_in_s=0.0)


def test_the_same_seed_gives_the_same_feed() -> None:
    assert until(STEADY, 20.0, seed=3) == until(STEADY, 20.0, seed=3)
    assert until(STEADY, 20.0, seed=3) != until(STEADY, 20.0, seed=4)


def test_times_rise_and_begin_after_the_lead_in() -> None:
    found = until(STEADY.model_copy(update={"lead_in_s": 2.0}), 30.0)
    times = [a.t_s for a in found]
    assert times == sorted(times)
    assert times[0] >= 2.0


@pytest.mark.parametrize("bursts", [False, True])
def test_mean_rate_is_the_one_that_was_asked_for(bursts: bool) -> None:
    feed = STEADY.model_copy(update={"bursts": bursts, "debris_per_spheroid": 0.0})
    n = len(spheroids(until(feed, 1000.0)))
    assert n == pytest.approx(5000, rel=0.1)


def test_bursts_make_it_uneven_and_plain_poisson_does_not() -> None:
    def dispersion(bursts: bool) -> float:
        feed = STEADY.model_copy(update={"bursts": bursts, "debris_per_spheroid": 0.0})
        counts = np.bincount([int(a.t_s) for a in spheroids(until(feed, 600.0))], minlength=600)
        return float(counts.var() / counts.mean())

    assert dispersion(False) == pytest.approx(1.0, abs=0.25)
    assert dispersion(True) > 1.8


def test_the_feed_decays() -> None:
    feed = STEADY.model_copy(update={"decay_s": 100.0, "bursts": False, "debris_per_spheroid": 0.0})
    times = np.array([a.t_s for a in until(feed, 400.0)])
    early, late = np.sum(times < 100), np.sum(times > 300)
    # 1 - 1/e of 500 in the first time constant, then down to a fifth of the rate.
    assert early == pytest.approx(500 * (1 - np.exp(-1)), rel=0.15)
    assert late == pytest.approx(100, rel=0.3)


SHARES: dict[str, tuple[Callable[[Arrival], bool], float]] = {
    "doubles": (lambda a: len(a.members) == 2, 0.03),
    "clumps": (lambda a: len(a.members) > 2, 0.005),
    "unhealthy": (lambda a: a.members[0].health == "unhealthy", 0.10),
}


@pytest.mark.parametrize("name", SHARES)
def test_shares(name: str) -> None:
    feed = STEADY.model_copy(update={"debris_per_spheroid": 0.0, "bursts": False})
    found = spheroids(list(islice(arrivals(feed, 1, draw), 8000)))
    is_one, share = SHARES[name]
    k = sum(is_one(a) for a in found)
    sigma = np.sqrt(share * (1 - share) / len(found))
    assert abs(k / len(found) - share) < 4 * sigma


def test_debris_bubbles_and_fibres_come_at_their_rates() -> None:
    found = until(STEADY, 300.0)
    kinds = [a.members[0].kind for a in found]
    assert kinds.count("debris") == pytest.approx(25 * 300, rel=0.05)
    assert 2 <= kinds.count("bubble") <= 20
    assert kinds.count("fibre") <= 15


def test_nothing_comes_where_every_rate_is_zero() -> None:
    feed = FeedSettings(rate_hz=0.0, bubbles_per_min=0.0, fibres_per_min=0.0)
    assert list(arrivals(feed, 0, draw)) == []
