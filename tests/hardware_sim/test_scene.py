from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.ports import Pixels
from hardware_sim.flow import FlowSettings
from hardware_sim.gate_log import GateEdge
from hardware_sim.optics import OpticsSettings
from hardware_sim.scene import Scene
from hardware_sim.scene_settings import (
    FeedSettings,
    SceneCamera,
    SceneSettings,
    dump_scene,
    load_scene,
)
from hardware_sim.truth_log import BodyTruth, read_truth
from sorter.errors import InputError, SettingsError

PERIOD_NS = 5_000_000
ORIGIN_NS = 10**15
SMALL = SceneCamera(width_px=640, height_px=256)
OPTICS = OpticsSettings(pitch_um=3.46)


def settings(**values: Any) -> SceneSettings:
    base: dict[str, Any] = {
        "seed": 2,
        "camera": SMALL,
        "optics": OPTICS,
        "feed": FeedSettings(rate_hz=6.0, lead_in_s=0.2, unhealthy=0.5),
    }
    return SceneSettings(**base | values)


def play(
    scene: Scene, n: int, edges: Sequence[GateEdge] = (), render_every: int = 1
) -> list[Pixels]:
    """Advance n frames, giving each switch to the scene at its time."""
    shown, given = [], 0
    for number in range(n):
        at_ns = ORIGIN_NS + number * PERIOD_NS
        known = sum(e.t_ns <= at_ns for e in edges)
        if number % render_every:
            scene.skip(at_ns, edges[given:known])
        else:
            shown.append(scene.advance(at_ns, edges[given:known], number))
        given = known
    return shown


def truth_of(
    folder: Path, n: int, edges: Sequence[GateEdge] = (), **values: Any
) -> list[BodyTruth]:
    path = folder / "truth.jsonl"
    scene = Scene(settings(truth_log=path, **values), ORIGIN_NS)
    play(scene, n, edges, render_every=10)
    scene.end(frames_rendered=n)
    truth = read_truth(path)
    assert truth.end == {"end": True, "frames_rendered": n}
    return truth.bodies


GATE = [
    GateEdge(ORIGIN_NS + 400_000_000, "collect", ORIGIN_NS + 425_000_000),
    GateEdge(ORIGIN_NS + 700_000_000, "waste", ORIGIN_NS + 715_000_000),
]


def test_the_same_seed_gives_the_same_pixels() -> None:
    with ThreadPoolExecutor(1) as executor:
        one = play(Scene(settings(), ORIGIN_NS), 130, GATE)
        two = play(Scene(settings(), ORIGIN_NS, executor), 130, GATE)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    other = play(Scene(settings(seed=3), ORIGIN_NS), 1)
    assert not np.array_equal(one[0], other[0])


def test_time_zero_does_not_matter() -> None:
    early, late = Scene(settings()), Scene(settings())
    early.begin(0)
    late.begin(ORIGIN_NS)
    for number in range(60):
        a = early.advance(number * PERIOD_NS, (), number)
        b = late.advance(ORIGIN_NS + number * PERIOD_NS, (), number)
        assert np.array_equal(a, b)


def test_the_gate_moves_what_is_seen() -> None:
    still = play(Scene(settings(), ORIGIN_NS), 121, render_every=12)
    moved = play(Scene(settings(), ORIGIN_NS), 121, GATE, render_every=12)
    assert np.array_equal(still[7], moved[7])
    assert any(not np.array_equal(a, b) for a, b in zip(still, moved, strict=True))


@pytest.mark.parametrize("bit_depth", [8, 10, 12, 16])
def test_frames_have_the_sensor_s_type(bit_depth: int) -> None:
    camera = SMALL.model_copy(update={"bit_depth": bit_depth})
    frame = play(Scene(settings(camera=camera), ORIGIN_NS), 1)[0]
    assert frame.shape == (256, 640)
    assert frame.dtype == (np.uint8 if bit_depth == 8 else np.uint16)
    assert 2 ** (bit_depth - 2) < frame.mean() < 2**bit_depth


def test_it_renders_into_what_it_is_given() -> None:
    out = np.zeros((256, 640), np.uint8)
    assert Scene(settings(), ORIGIN_NS).advance(ORIGIN_NS, (), 0, out=out) is out
    assert out.mean() > 100


def test_lead_in_is_empty_and_then_bodies_come(tmp_path: Path) -> None:
    bodies = truth_of(tmp_path, 600)
    first = min(b.positions[0][0] for b in bodies)
    assert first * 5e-3 >= 0.2
    spheroids = [b for b in bodies if b.kind == "spheroid"]
    assert len(spheroids) >= 5
    assert {b.health for b in spheroids} == {"healthy", "unhealthy"}
    assert {b.health for b in bodies if b.kind == "debris"} <= {None}


def test_positions_are_where_the_body_is_dark(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    feed = FeedSettings(rate_hz=6.0, lead_in_s=0.2, unhealthy=0.0, debris_per_spheroid=0.0)
    scene = Scene(settings(truth_log=path, feed=feed), ORIGIN_NS)
    frames = play(scene, 400)
    scene.end()
    checked = 0
    for body in read_truth(path).bodies:
        for number, x, y in body.positions[::5]:
            if 40 < x < 600 and 40 < y < 216 and body.kind == "spheroid":
                frame = frames[number]
                inside = frame[round(y) - 8 : round(y) + 9, round(x) - 8 : round(x) + 9]
                assert inside.mean() < np.median(frame) - 8
                checked += 1
    assert checked > 20


def test_arrival_follows_the_path_in_view(tmp_path: Path) -> None:
    """Steady flow: the junction is reached at the speed that was seen in the view."""
    flow = FlowSettings(pulsation=0.0, lost=0.0)
    bodies = [b for b in truth_of(tmp_path, 1000, flow=flow) if b.kind == "spheroid"]
    arrived = [b for b in bodies if b.junction_ns is not None and len(b.positions) > 2]
    assert len(arrived) >= 5
    for body in arrived:
        (n0, x0, _), (n1, x1, _) = body.positions[0], body.positions[-1]
        px_per_ns = (x1 - x0) / ((n1 - n0) * PERIOD_NS)
        junction_px = 640 + 10_000 / OPTICS.pitch_um
        expected_ns = ORIGIN_NS + n0 * PERIOD_NS + (junction_px - x0) / px_per_ns
        assert body.junction_ns == pytest.approx(expected_ns, abs=3e6)
        # A body's view lasts 15 to 30 frames and the way to the junction about half a second.
        assert 8 <= n1 - n0 <= 60


def test_opening_the_gate_brings_arrivals_forward(tmp_path: Path) -> None:
    flow = FlowSettings(lost=0.0)
    opened = [GateEdge(ORIGIN_NS + 600_000_000, "collect", ORIGIN_NS + 625_000_000)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    still = truth_of(tmp_path / "a", 700, flow=flow)
    moved = truth_of(tmp_path / "b", 700, opened, flow=flow)
    before = {b.body: b.junction_ns for b in still if b.kind == "spheroid"}
    gained = [
        before_ns - b.junction_ns
        for b in moved
        if b.junction_ns is not None
        and (before_ns := before.get(b.body)) is not None
        and before_ns > ORIGIN_NS + 1_500_000_000
    ]
    # 2.34 mm at 20 mm/s of liquid, whatever the speed of the body.
    assert gained
    assert np.array(gained) == pytest.approx(np.full(len(gained), 117e6), rel=0.1)


def test_lost_bodies_never_arrive(tmp_path: Path) -> None:
    bodies = truth_of(tmp_path, 500, flow=FlowSettings(lost=1.0))
    lost = [b for b in bodies if b.lost]
    assert lost
    assert all(b.junction_ns is None for b in bodies)


def test_real_cut_outs_play_through_the_same_scene(tmp_path: Path) -> None:
    images = Path(__file__).parents[1] / "data" / "real"
    bodies = truth_of(tmp_path, 300, source="real", real_images=images)
    assert {(b.health, b.phenotype) for b in bodies if b.kind == "spheroid"} == {(None, "real")}
    with pytest.raises(SettingsError, match="no folder of real images"):
        Scene(settings(source="real"))
    with pytest.raises(InputError):
        Scene(settings(source="real", real_images=tmp_path / "gone"))


def test_scene_file_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "scene.toml"
    scene = settings(truth_log=Path("truth.jsonl"), gate_log=Path("/logs/gate.jsonl"))
    path.write_text(dump_scene(scene))
    read = load_scene(path)
    assert read == scene.model_copy(update={"truth_log": tmp_path / "truth.jsonl"})


BROKEN = {
    "missing": (None, "scene file is missing"),
    "no TOML": ("seed = ", "no TOML"),
    "unknown key": ("sead = 1", "sead"),
    "wrong value": ("[camera]\nwidth_px = 1", r"camera\.width_px"),
    "delay below jitter": ("[camera]\ntransfer_delay_ms = 1.0", "transfer_jitter_ms"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_scene_files(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "scene.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        load_scene(path)


def test_truth_of_a_run_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    scene = Scene(settings(truth_log=path), ORIGIN_NS)
    play(scene, 500, render_every=4)
    with path.open("a") as file:
        file.write('{"body": 99, "gro')
    cut_off = read_truth(path)
    assert cut_off.end is None
    assert cut_off.bodies
    scene.end()
    path.write_text("{}\n")
    with pytest.raises(InputError, match="can't be read"):
        read_truth(path)
