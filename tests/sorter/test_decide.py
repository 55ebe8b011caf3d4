"""Decisions as a table: what the views add up to, the outlet, the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from models.votes import DEFAULT_VOTES
from sorter.decide import Decider, DecideSettings, OutletSettings, Reason, Views

LABELS = ("healthy", "unhealthy", "other")
RECHECK = OutletSettings(recheck="recheck")
DEFAULT = DecideSettings()


def probabilities(*rows: tuple[float, float, float], times: int = 1) -> NDArray[np.float32]:
    return np.array(rows * times, np.float32)


GOOD = probabilities((0.98, 0.01, 0.01), times=10)
BAD = probabilities((0.02, 0.97, 0.01), times=10)
BUBBLE = probabilities((0.02, 0.01, 0.97), times=10)
# One view in four shows a defect that faces away in the others.
ONE_SIDED = probabilities(
    (0.9, 0.1, 0.0), (0.9, 0.1, 0.0), (0.0, 1.0, 0.0), (0.9, 0.1, 0.0), times=4
)
NONE = np.empty((0, 0), np.float32)


def views(
    p: NDArray[np.float32] = GOOD,
    *,
    diameter_um: float = 200.0,
    circularity: float = 0.95,
    n: int | None = None,
    deficit_um2: float | Sequence[float] = float("nan"),
    doubles: int = 0,
    cut: int = 0,
    speed_um_s: float = 15_000.0,
    explained: bool = False,
    length_um: float = 0.0,
) -> Views:
    n = len(p) if n is None else n
    return Views(
        [diameter_um] * n,
        [circularity] * n,
        [deficit_um2] * n if isinstance(deficit_um2, float | int) else list(deficit_um2),
        doubles,
        cut,
        speed_um_s,
        diameter_um,
        p,
        explained,
        length_um=length_um,
    )


def decider(settings: DecideSettings = DEFAULT, outlets: OutletSettings | None = None) -> Decider:
    return Decider(
        settings,
        outlets or OutletSettings(),
        labels=LABELS,
        threshold=lambda count: 0.5 if count >= 8 else 0.3,
        votes=DEFAULT_VOTES,
    )


@dataclass(frozen=True)
class Case:
    """Views of one track, and what follows."""

    name: str
    views: Views
    outlet: str
    reason: Reason
    settings: DecideSettings = DEFAULT
    outlets: OutletSettings | None = None


YIELD = DecideSettings(policy="yield", unsure_band=0.2)
BAND = DecideSettings(unsure_band=0.2)
# A vote of 0.6 with certain views: above the threshold of 0.5, within the band.
DOUBT = probabilities((0.4, 0.6, 0.0), times=10)

CASES: Sequence[Case] = (
    Case("healthy in every view", views(), "collect", Reason.HEALTHY),
    Case("unhealthy in every view", views(BAD), "waste", Reason.UNHEALTHY),
    Case("one bad side", views(ONE_SIDED), "waste", Reason.UNHEALTHY),
    Case("a bubble", views(BUBBLE), "waste", Reason.NOT_A_SPHEROID),
    Case("a fibre", views(circularity=0.1), "waste", Reason.NOT_A_SPHEROID),
    Case("in doubt, purity", views(DOUBT), "waste", Reason.UNSURE, BAND),
    Case("in doubt, yield", views(DOUBT), "collect", Reason.UNSURE, YIELD),
    Case("in doubt, recheck", views(DOUBT), "recheck", Reason.UNSURE, BAND, RECHECK),
    Case("in doubt, no band", views(DOUBT), "waste", Reason.UNHEALTHY),
    Case("doubt is not wasted on bubbles", views(BUBBLE), "waste", Reason.NOT_A_SPHEROID, YIELD),
    Case(
        "unhealthy goes to rest, not recheck",
        views(BAD),
        "waste",
        Reason.UNHEALTHY,
        outlets=RECHECK,
    ),
    Case("small debris", views(diameter_um=15, deficit_um2=90), "waste", Reason.SPECK),
    Case("small, and hardly ever seen", views(n=5, diameter_um=45), "waste", Reason.SPECK),
    Case(
        "a thin fibre that takes out little light",
        views(diameter_um=45, deficit_um2=250, length_um=110),
        "waste",
        Reason.TOO_SMALL,
    ),
    Case(
        "a fibre that is hardly ever seen",
        views(n=5, diameter_um=45, length_um=110),
        "waste",
        Reason.TOO_SMALL,
    ),
    Case(
        "small, and hardly ever seen as frames were lost",
        views(n=5, diameter_um=45, explained=True),
        "waste",
        Reason.TOO_SMALL,
    ),
    Case(
        "a speck that defocus makes larger",
        views(NONE, n=6, diameter_um=40, deficit_um2=60),
        "waste",
        Reason.SPECK,
    ),
    Case(
        "dark, and smaller than anything that matters looks",
        views(NONE, n=6, diameter_um=27, deficit_um2=800),
        "waste",
        Reason.SPECK,
    ),
    Case(
        "debris that takes out light",
        views(NONE, n=6, diameter_um=40, deficit_um2=800),
        "waste",
        Reason.TOO_SMALL,
    ),
    Case(
        "small, but nobody knows how dark",
        views(NONE, n=6, diameter_um=29),
        "waste",
        Reason.TOO_SMALL,
    ),
    Case(
        "seen seldom, and once too dark for a speck",
        views(NONE, n=11, diameter_um=40, deficit_um2=(*[200] * 10, 500)),
        "waste",
        Reason.TOO_SMALL,
    ),
    Case(
        "seen often, and once too dark for a speck",
        views(NONE, n=12, diameter_um=40, deficit_um2=(*[200] * 11, 500)),
        "waste",
        Reason.SPECK,
    ),
    Case(
        "on the floor, out of focus, and small",
        views(NONE, n=6, diameter_um=30.3, deficit_um2=500, speed_um_s=4_000),
        "waste",
        Reason.SPECK,
    ),
    Case(
        "on the floor, out of focus, and larger",
        views(NONE, n=6, diameter_um=32, deficit_um2=500, speed_um_s=4_000),
        "waste",
        Reason.TOO_SMALL,
    ),
    Case(
        "fast, so high above the focus, and small",
        views(NONE, n=6, diameter_um=31.5, deficit_um2=500, speed_um_s=33_000),
        "waste",
        Reason.SPECK,
    ),
    Case(
        "fast, so high above the focus, and larger",
        views(NONE, n=6, diameter_um=34, deficit_um2=500, speed_um_s=33_000),
        "waste",
        Reason.TOO_SMALL,
    ),
    Case("a small spheroid", views(diameter_um=99), "waste", Reason.TOO_SMALL),
    Case("at the window's lower end", views(diameter_um=100), "collect", Reason.HEALTHY),
    Case("at the window's upper end", views(diameter_um=450), "collect", Reason.HEALTHY),
    Case("too large", views(diameter_um=451), "waste", Reason.TOO_LARGE),
    Case("two that touch", views(doubles=3), "waste", Reason.DOUBLE),
    Case("a double in two views of ten", views(doubles=2), "collect", Reason.HEALTHY),
    Case("at the wall", views(cut=6), "waste", Reason.CUT_OFF),
    Case("seen three times", views(GOOD[:3]), "waste", Reason.UNSEEN),
    Case("seen often, judged three times", views(GOOD[:3], n=9), "waste", Reason.UNSEEN),
    Case("never judged", views(NONE, n=8), "waste", Reason.UNSEEN),
    Case("never whole", views(NONE, n=0), "waste", Reason.UNSEEN),
    Case("few views get the threshold for few", views(DOUBT[:4]), "waste", Reason.UNHEALTHY),
    Case(
        "the rig's own threshold comes first",
        views(DOUBT),
        "collect",
        Reason.HEALTHY,
        DecideSettings(collect_below=0.9),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_decisions(case: Case) -> None:
    decision = decider(case.settings, case.outlets).decide(case.views)
    assert (decision.outlet, decision.reason) == (case.outlet, case.reason)


def test_only_what_was_judged_has_probabilities() -> None:
    judged, unjudged = decider().decide(views()), decider().decide(views(NONE, n=8))
    assert judged.p_unhealthy is not None
    assert 0 < judged.p_unhealthy < 0.1
    assert judged.p_other == pytest.approx(0.01)
    assert (unjudged.p_unhealthy, unjudged.p_other) == (None, None)


@pytest.mark.parametrize("policy", ["purity", "yield", "single"])
def test_nothing_but_healthy_or_unsure_is_ever_collected(policy: str) -> None:
    settings = DecideSettings.model_validate({"policy": policy, "unsure_band": 0.2})
    for case in CASES:
        decision = decider(settings).decide(case.views)
        allowed = {Reason.HEALTHY} | ({Reason.UNSURE} if policy == "yield" else set())
        assert decision.outlet == "waste" or decision.reason in allowed


def test_a_worse_view_never_helps() -> None:
    bad = views(np.vstack([GOOD[:-1], BAD[:1]]))
    good_vote, bad_vote = (decider().decide(v).p_unhealthy for v in (views(), bad))
    assert good_vote is not None
    assert bad_vote is not None
    assert bad_vote >= good_vote
    assert replace(views(), doubles=0) == views()


def test_rest_is_never_collect() -> None:
    with pytest.raises(ValidationError, match="never be the collect outlet"):
        OutletSettings(collect="a", rest="a")
