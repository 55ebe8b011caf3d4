from __future__ import annotations

import math

import numpy as np
import pytest

from hardware_sim.feed import Arrival
from hardware_sim.flow import FlowSettings
from hardware_sim.spheroids import BodySpec, Kind
from hardware_sim.travellers import Entry, Flock, Traveller, entries, random_turn, rotation_about

FLOW = FlowSettings()
VIEW_UM = 2214.0


def spec(diameter_um: float, kind: Kind = "spheroid") -> BodySpec:
    return BodySpec(kind, diameter_um, None, kind, 0.0, 0)


def enter(*diameters_um: float, seed: int = 0, kind: Kind = "spheroid") -> list[Entry]:
    members = tuple(spec(d, kind) for d in diameters_um)
    group = 1 if len(members) > 1 else None
    return entries(Arrival(0.0, members, seed), FLOW, 1, group, VIEW_UM)


def travel(flow_entries: list[Entry], liquid_um: float, seconds: float) -> Flock:
    flock = Flock(FLOW)
    for entry in flow_entries:
        flock.add(Traveller(entry, 0.0))
    flock.move(liquid_um, seconds)
    return flock


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0, -3.0])
def test_rotations_are_rotations(angle: float) -> None:
    rng = np.random.default_rng(1)
    axis = rng.standard_normal(3)
    axis /= np.linalg.norm(axis)
    turn = rotation_about(axis, angle)
    assert turn @ turn.T == pytest.approx(np.eye(3))
    assert np.linalg.det(turn) == pytest.approx(1.0)
    assert turn @ axis == pytest.approx(axis)
    assert np.trace(turn) == pytest.approx(1 + 2 * math.cos(angle))


def test_random_attitudes_have_no_preferred_direction() -> None:
    rng = np.random.default_rng(2)
    turns = np.array([random_turn(rng) for _ in range(2000)])
    assert np.abs(turns.mean(axis=0)).max() < 0.06
    assert np.linalg.det(turns) == pytest.approx(np.ones(2000))


@pytest.mark.parametrize("members", [2, 3, 4, 5])
def test_a_touching_group_fits_between_the_walls(members: int) -> None:
    wall_um = FLOW.channel_width_um / 2
    for seed in range(200):
        made = enter(*[200.0] * members, seed=seed)
        assert max(abs(one.y_um) + 100.0 for one in made) <= wall_um
        apart = [math.hypot(a.x_um - b.x_um, a.y_um - b.y_um) for a in made for b in made]
        assert sorted(apart)[members] > 150.0


def test_rolling_is_about_the_axis_across_the_flow() -> None:
    axes = np.array([enter(220.0, seed=s)[0].axis for s in range(200)])
    assert np.abs(axes[:, 1]).mean() > 0.85
    rates = [enter(220.0, seed=s)[0].rolling_rad_s for s in range(200)]
    assert 50 <= min(rates) < 55 < 75 < max(rates) <= 80


def test_large_bodies_overtake_small_ones() -> None:
    mean = {}
    for d in (150.0, 220.0, 400.0):
        runs = [travel(enter(d, seed=s), 1000.0, 0.05) for s in range(50)]
        starts = [enter(d, seed=s)[0].x_um for s in range(50)]
        mean[d] = np.mean([r.x_um[0] - x for r, x in zip(runs, starts, strict=True)])
    assert mean[150.0] < mean[220.0] < mean[400.0]
    # Parabola at the radius, maximum over mean, body over liquid.
    assert mean[220.0] == pytest.approx(1000 * 4 * 0.1375 * 0.8625 * 2.1 * 0.8, rel=0.03)


def test_spheroids_enter_on_the_floor_and_out_of_sight() -> None:
    for seed in range(100):
        entry = enter(220.0, seed=seed)[0]
        assert entry.z_um == entry.floor_um == 110.0
        assert entry.x_um < -110.0
        assert abs(entry.y_um) + 110.0 <= FLOW.channel_width_um / 2
        assert 0.6 <= entry.slip <= 0.95


def test_bubbles_run_along_the_ceiling() -> None:
    flock = travel(enter(100.0, kind="bubble"), 1000.0, 5.0)
    assert flock.z_um[0] == 750.0


def test_bodies_sink_to_the_floor_and_no_further() -> None:
    entry = enter(60.0, seed=3)[0]
    flock = travel([entry], 0.0, 0.5)
    assert flock.z_um[0] == pytest.approx(entry.z_um - 0.5 * entry.settling_um_s)
    flock.move(0.0, 1000.0)
    assert flock.z_um[0] == 30.0


@pytest.mark.parametrize("diameters", [(200.0, 200.0), (150.0, 380.0), (180.0, 220.0, 260.0)])
def test_touching_groups_touch_and_stay_together(diameters: tuple[float, ...]) -> None:
    for seed in range(20):
        group = enter(*diameters, seed=seed)
        assert len({e.group for e in group}) == 1
        assert len({e.lost_um for e in group}) == 1
        flock = travel(group, 12_000.0, 0.6)
        for i, one in enumerate(group[1:], start=1):
            gaps = [
                math.dist((one.x_um, one.y_um, one.z_um), (o.x_um, o.y_um, o.z_um))
                / (one.floor_um + o.floor_um)
                for o in group[:i]
            ]
            assert 0.9 < min(gaps) <= 1.0 + 1e-9
        before = np.array([(e.x_um, e.y_um) for e in group])
        after = np.column_stack([flock.x_um, flock.y_um])
        assert np.diff(after, axis=0) == pytest.approx(np.diff(before, axis=0), abs=1e-6)


def test_two_in_a_hundred_get_lost() -> None:
    lost = [enter(220.0, seed=s)[0].lost_um for s in range(3000)]
    places = [x for x in lost if x is not None]
    assert len(places) == pytest.approx(60, abs=25)
    assert all(VIEW_UM < x < VIEW_UM + 10_000 for x in places)


def test_removal_keeps_the_others_where_they_are() -> None:
    flock = travel([enter(200.0, seed=s)[0] for s in range(3)], 100.0, 0.01)
    x_um = flock.x_um.copy()
    gone = flock.remove(np.array([False, True, False]))
    assert len(gone) == 1
    assert flock.x_um == pytest.approx(x_um[[0, 2]])
    assert len(flock.travellers) == 2


def test_few_move_as_many_do_to_the_bit() -> None:
    kinds: list[Kind] = ["spheroid", "debris", "bubble", "fibre"]
    bodies = [enter(25.0 + 9.0 * s, seed=s, kind=kinds[s % 4])[0] for s in range(48)]
    many, few = travel(bodies, 0.0, 0.0), [travel([one], 0.0, 0.0) for one in bodies]
    for liquid_um, seconds in ((200.0, 0.01), (-40.0, 0.013), (30_000.0, 4.0)):
        for flock in (many, *few):
            flock.move(liquid_um, seconds)
    for column in ("x_um", "y_um", "z_um"):
        alone = [float(getattr(flock, column)[0]) for flock in few]
        assert getattr(many, column).tolist() == alone
