"""The vote over views, against its definition and its promises."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sorter.votes import Votes, VoteSettings, aggregate_views, not_healthy

PROBABILITY = st.floats(0.0, 1.0, allow_nan=False)
VIEWS = st.lists(PROBABILITY, min_size=1, max_size=40)
SETTINGS = st.builds(
    VoteSettings,
    mean_weight=st.floats(0, 1),
    top_share=st.floats(0.05, 1),
    trim_share=st.floats(0, 0.45),
    logit_limit=st.floats(1, 12),
)


@given(VIEWS, SETTINGS)
def test_bounded_by_its_views(views: list[float], settings: VoteSettings) -> None:
    score = aggregate_views(np.array(views), settings)
    edge = 1 / (1 + math.exp(settings.logit_limit))
    low, high = (min(max(p, edge), 1 - edge) for p in (min(views), max(views)))
    assert low - 1e-9 <= score <= high + 1e-9


@given(VIEWS, SETTINGS, st.randoms())
def test_order_does_not_matter(views: list[float], settings: VoteSettings, random: Random) -> None:
    shuffled = list(views)
    random.shuffle(shuffled)
    assert aggregate_views(np.array(shuffled), settings) == aggregate_views(
        np.array(views), settings
    )


@given(VIEWS, SETTINGS, st.data())
def test_never_falls_when_a_view_gets_worse(
    views: list[float], settings: VoteSettings, data: st.DataObject
) -> None:
    which = data.draw(st.integers(0, len(views) - 1))
    worse = list(views)
    worse[which] = data.draw(st.floats(views[which], 1.0))
    before, after = (aggregate_views(np.array(v), settings) for v in (views, worse))
    assert after >= before - 1e-12


@given(PROBABILITY, st.integers(1, 40), SETTINGS)
def test_views_that_agree_keep_their_probability(p: float, n: int, settings: VoteSettings) -> None:
    edge = 1 / (1 + math.exp(settings.logit_limit))
    assert aggregate_views(np.full(n, p), settings) == pytest.approx(
        min(max(p, edge), 1 - edge), abs=1e-9
    )


@given(VIEWS, SETTINGS)
def test_view_by_view_is_the_same(views: list[float], settings: VoteSettings) -> None:
    votes = Votes(settings)
    for n, p in enumerate(views, start=1):
        votes.add(p)
        assert len(votes) == n
        assert votes.score() == pytest.approx(aggregate_views(np.array(views[:n]), settings))


def test_against_the_definition_by_hand() -> None:
    settings = VoteSettings(mean_weight=0.4, top_share=0.25, trim_share=0.1, logit_limit=6)
    p = np.linspace(0.05, 0.95, 20)
    logits = np.sort(np.log(p / (1 - p)))
    worst = logits[:18][-5:]  # two trimmed, then a quarter of 18, rounded up
    expected = 0.4 * logits.mean() + 0.6 * worst.mean()
    assert aggregate_views(p, settings) == pytest.approx(1 / (1 + math.exp(-expected)))


def test_one_bad_side_counts_more_than_in_the_mean() -> None:
    turning = np.array([0.1] * 9 + [0.9] * 3)
    mean_only = VoteSettings(mean_weight=1.0)
    assert aggregate_views(turning) > aggregate_views(turning, mean_only)


def test_a_single_outlier_hardly_moves_many_good_views() -> None:
    good = np.full(15, 0.05)
    outlier = np.r_[good[1:], 0.999]
    assert aggregate_views(outlier) < 0.2
    assert aggregate_views(outlier, VoteSettings(mean_weight=0, top_share=0.01, trim_share=0)) > 0.9


@pytest.mark.parametrize("views", [[], [0.5, 1.1], [-0.1], [float("nan")], [[0.5]]], ids=str)
def test_refuses_what_is_no_row_of_probabilities(views: list[float]) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        aggregate_views(np.array(views))


def test_votes_refuse_too() -> None:
    votes = Votes()
    with pytest.raises(ValueError, match="no view"):
        votes.score()
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        votes.add(float("nan"))
    assert len(votes) == 0


def test_not_healthy_is_what_is_left_of_healthy() -> None:
    p = np.array([[0.2, 0.7, 0.1], [0.05, 0.9, 0.05]], np.float32)
    assert not_healthy(p, ("other", "healthy", "unhealthy")) == pytest.approx([0.3, 0.1])
