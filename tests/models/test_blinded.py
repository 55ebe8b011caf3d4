"""The blinded test: what is shown says nothing, answers stay, the interval is exact."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta

from models.blinded import Answer, Session, draw_up, exact_rate
from models.dataset import load_crops
from sorter.errors import InputError, UsageError
from tests.models.toy import write_toy


@pytest.fixture
def sets(tmp_path: Path) -> tuple[Path, Path]:
    write_toy(tmp_path / "real", objects=60, views=2, seed=1)
    write_toy(tmp_path / "drawn", objects=60, views=1, seed=2)
    return tmp_path / "real", tmp_path / "drawn"


def test_half_is_real_every_body_once_in_random_order(
    sets: tuple[Path, Path], tmp_path: Path
) -> None:
    session = draw_up(tmp_path / "review", *sets, 20, seed=1)
    sources = [one.source for one in session.plan.items]
    assert sources.count("real") == sources.count("synthetic") == 10
    assert sources != sorted(sources)
    real = load_crops(sets[0])
    bodies = {
        real.object[real.id.tolist().index(one.id)]
        for one in session.plan.items
        if one.source == "real"
    }
    assert len(bodies) == 10
    images = session.images()
    first = session.plan.items[0]
    wanted = load_crops(sets[0] if first.source == "real" else sets[1])
    assert np.array_equal(images[0], wanted.images[wanted.id.tolist().index(first.id)])
    assert Session(tmp_path / "review").plan == session.plan
    other = draw_up(tmp_path / "other", *sets, 20, seed=2)
    assert other.plan.items != session.plan.items


def answer_all(session: Session, reviewer: str, right: int) -> None:
    for number in session.open_for(reviewer):
        truth = session.plan.items[number].source
        wrong: Answer = "real" if truth == "synthetic" else "synthetic"
        session.add(number, truth if number < right else wrong, reviewer, 2.0 + number)


def test_results_of_reviewers_and_of_all(sets: tuple[Path, Path], tmp_path: Path) -> None:
    session = draw_up(tmp_path / "review", *sets, 20)
    answer_all(session, "AB", 20)
    answer_all(session, "CD", 10)
    again = Session(tmp_path / "review")
    assert again.result("AB").accuracy.value == 1.0
    assert again.result("CD").accuracy.value == 0.5
    assert again.result("CD").p_value == 1.0
    both = again.result()
    assert (both.accuracy.value, both.accuracy.n) == (0.75, 40)
    assert again.result("AB").called_synthetic[0].value == 1.0
    assert again.result("AB").called_synthetic[1].value == 0.0
    assert both.median_s == pytest.approx(11.5)
    assert all(one.at.endswith("+00:00") for one in again.given)


@pytest.mark.parametrize(("k", "n"), [(0, 12), (7, 20), (50, 100), (12, 12)])
def test_interval_is_clopper_and_pearsons(k: int, n: int) -> None:
    found = exact_rate(k, n)
    low = 0.0 if k == 0 else float(beta.ppf(0.025, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(0.975, k + 1, n - k))
    assert found.interval == pytest.approx((low, high), abs=1e-6)


def test_an_answer_stays(sets: tuple[Path, Path], tmp_path: Path) -> None:
    session = draw_up(tmp_path / "review", *sets, 4)
    session.add(2, "real", "AB", 1.0)
    with pytest.raises(UsageError, match="isn't open"):
        session.add(2, "synthetic", "AB", 1.0)
    session.add(2, "synthetic", "CD", 1.0)
    assert session.open_for("AB") == [0, 1, 3]
    # Half a line at the end is of an answer that was not given.
    with (tmp_path / "review" / "answers.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"number": 3')
    assert Session(tmp_path / "review").open_for("AB") == [0, 1, 3]


def test_what_cannot_be_used(sets: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="half real"):
        draw_up(tmp_path / "a", *sets, 5)
    with pytest.raises(InputError, match="too few"):
        draw_up(tmp_path / "a", *sets, 200)
    write_toy(tmp_path / "small", objects=30, views=1, size=16)
    with pytest.raises(InputError, match="give them away"):
        draw_up(tmp_path / "a", sets[0], tmp_path / "small", 4)
    with pytest.raises(InputError, match="can't be read"):
        Session(tmp_path / "none")
    session = draw_up(tmp_path / "a", *sets, 4)
    with pytest.raises(InputError, match="no answers"):
        session.result()
    with pytest.raises(UsageError, match="exists"):
        draw_up(tmp_path / "a", *sets, 4)
    plan = json.loads((tmp_path / "a" / "plan.json").read_text("utf-8"))
    plan["real_hash"] = "0" * 64
    (tmp_path / "a" / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    with pytest.raises(InputError, match="have changed"):
        Session(tmp_path / "a").images()
