"""`sorter sim campaign`, as a person calls it."""

from __future__ import annotations

from tests.e2e.commands import answer, sorter


def test_a_short_campaign_and_the_replay_of_its_rig() -> None:
    options = ("sim", "campaign", "--faults", "60", "--workers", "1")
    told = answer(*options, "--seed", "1")
    assert told["faults"] >= 60
    assert (told["unsafe"], told["unaccounted"], told["deadlocks"]) == (0, 0, 0)
    assert told["failing"] == []
    assert told["rigs"] == 1
    again = answer(*options, "--replay", str(1 << 24))
    assert again["digest"] == told["digest"]
    assert again["faults"] <= told["faults"]


def test_a_campaign_of_nothing_is_wrong_usage() -> None:
    assert sorter("sim", "campaign", "--faults", "0").returncode == 2
