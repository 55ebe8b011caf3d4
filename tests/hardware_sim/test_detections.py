"""Detections from bodies: their errors are those that were measured on pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from drivers.ports import Frame
from hardware_sim.body_spec import BodySpec
from hardware_sim.detection_errors import MEASURED
from hardware_sim.detections import DetectionVision, InView
from sorter.attention import Divided
from sorter.detection import Detection
from sorter.lateness import FrameLateness

PITCH_UM, WIDTH_PX, HEIGHT_PX = 1.73, 1280, 512
HEALTHY = BodySpec("spheroid", 220.0, "healthy", "healthy", 0.1, 1)
UNHEALTHY = BodySpec("spheroid", 220.0, "unhealthy", "grape_like", 0.9, 1)
DEBRIS = BodySpec("debris", 18.0, None, "debris", 0.0, 1)
LARGE = BodySpec("spheroid", 300.0, "healthy", "healthy", 0.1, 1)


def body(
    spec: BodySpec, number: int = 1, x_px: float = 600.0, y_px: float = 250.0, **more: float
) -> InView:
    """A body in the middle of the frame."""
    return InView(
        number, None, spec, x_px, y_px, more.get("defocus_um", 0.0), more.get("angle", 0.0)
    )


def frame(number: int) -> Frame:
    """A frame without pixels."""
    return Frame(np.zeros((1, 1), np.uint8), number, 0, 0, 0)


def vision(*shown: Sequence[InView]) -> DetectionVision:
    """One that is shown these bodies, frame by frame."""
    return DetectionVision(
        lambda frame: shown[frame.number % len(shown)],
        pitch_um=PITCH_UM,
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
        weigh_below_um=70.0,
        seed=1,
    )


def found(eyes: DetectionVision, frames: int) -> list[list[Detection]]:
    """Detections of so many frames."""
    return [eyes.detect(frame(n)) for n in range(frames)]


def test_a_healthy_spheroid_is_found_where_it_is_as_large_as_it_is() -> None:
    bodies = [[body(HEALTHY, n, angle=0.3 * k) for n in range(1)] for k in range(60)]
    seen = found(vision(*bodies), 60)
    assert all(len(one) == 1 for one in seen)
    off_um = np.array([(one[0].x_px - 600.0) * PITCH_UM for one in seen])
    assert np.abs(off_um).max() < 12.0
    assert 0.2 < off_um.std() < 6.0
    diameters = np.array([one[0].diameter_um for one in seen])
    assert abs(np.log(diameters / 220.0)).max() < 0.12
    assert not any(one[0].touches_border for one in seen)
    assert np.isnan(seen[0][0].deficit_um2)


def test_errors_over_bodies_are_the_measured_ones() -> None:
    eyes = vision([body(UNHEALTHY, n, 80.0 + 30 * n, 250.0) for n in (1,)])
    sizes = []
    for n in range(400):
        eyes._seen_in = lambda frame, n=n: [body(UNHEALTHY, n)]  # type: ignore[misc]
        sizes.append(np.log(eyes.detect(frame(0))[0].diameter_um / 220.0))
    mean, sd = MEASURED.kinds["unhealthy"].size
    assert np.mean(sizes) == pytest.approx(mean, abs=0.02)
    assert np.std(sizes) == pytest.approx(sd, rel=0.15)


@pytest.mark.parametrize(("defocus_um", "share"), [(0.0, 0.468), (100.0, 0.971), (400.0, 0.221)])
def test_small_debris_flickers(defocus_um: float, share: float) -> None:
    seen = found(vision([body(DEBRIS, defocus_um=defocus_um)]), 600)
    assert np.mean([len(one) for one in seen]) == pytest.approx(share, abs=0.07)
    weighed = [one[0].deficit_um2 for one in seen if one]
    assert 5.0 < 1.33 * np.sqrt(np.median(weighed)) < 25.0


@pytest.mark.parametrize(("defocus_um", "by_um"), [(0.0, 0.2), (134.0, 5.5), (424.0, 28.4)])
def test_a_grain_looks_larger_the_further_it_is_out_of_focus(
    defocus_um: float, by_um: float
) -> None:
    grain = BodySpec("debris", 32.0, None, "debris", 0.0, 1)
    ones = [body(grain, n, defocus_um=defocus_um) for n in range(400)]
    seen = [one for [one] in found(vision(*([one] for one in ones)), 400)]
    assert np.mean([one.diameter_um for one in seen]) == pytest.approx(32.0 + by_um, abs=0.5)
    mean, sd = MEASURED.deficit if defocus_um < 200.0 else MEASURED.deficit_far
    view = MEASURED.deficit_view if defocus_um < 200.0 else MEASURED.deficit_far_view
    light = np.array([1.33 * np.sqrt(one.deficit_um2) / 32.0 for one in seen])
    assert light.mean() == pytest.approx(mean, abs=0.015)
    assert light.std() == pytest.approx(np.hypot(sd, view), rel=0.15)


def test_a_fibre_is_thin_but_not_small() -> None:
    fibre = BodySpec("fibre", 128.0, None, "fibre", 0.0, 1)
    ones = [body(fibre, n) for n in range(300)]
    seen = [one for frame_ in found(vision(*([one] for one in ones)), 300) for one in frame_[:1]]
    assert np.percentile([one.diameter_um for one in seen], 1) > 30.0
    assert np.median([max(one.bbox[2:]) * PITCH_UM for one in seen]) == pytest.approx(90, abs=6)


def test_a_body_at_the_edge_is_cut_off() -> None:
    [[left], [right], []] = found(
        vision(
            [body(HEALTHY, x_px=10.0)], [body(HEALTHY, x_px=1275.0)], [body(HEALTHY, x_px=-70.0)]
        ),
        3,
    )
    assert left.touches_border
    assert left.bbox[0] == 0
    assert right.touches_border
    assert right.bbox[0] + right.bbox[2] == WIDTH_PX
    assert left.diameter_um < 200.0


def test_two_bodies_that_overlap_are_one_detection_or_two_but_never_none() -> None:
    kinds = {"double": 0, "one": 0, "two": 0}
    for n in range(0, 400, 2):
        pair = [body(HEALTHY, n + 1, 600.0), body(LARGE, n + 2, 640.0)]
        seen = vision(pair).detect(frame(0))
        kinds["two" if len(seen) == 2 else "double" if seen[0].double else "one"] += 1
    assert kinds["double"] / 200 == pytest.approx(MEASURED.merged[0], abs=0.12)
    assert kinds["one"] / 200 == pytest.approx(MEASURED.merged[1], abs=0.12)


def test_bodies_apart_are_shown_alone() -> None:
    eyes = vision([body(HEALTHY, 1, 300.0), body(LARGE, 2, 900.0)])
    found(eyes, 5)
    assert eyes.alone == {1: 5, 2: 5}


def test_a_glimpse_that_the_border_cuts_shows_nobody() -> None:
    """Its outline would clear the border by less than a cell of the coarse search."""
    edge = 200.0 / 2 / PITCH_UM + 4.0
    late = FrameLateness(0, lambda: 10**9, lambda: 0, lambda _: None)
    eyes = vision([body(HEALTHY, 1, edge), body(HEALTHY, 2, 640.0)])
    for k in range(40):
        at_edge, inside = eyes.detect(frame(k), Divided(late, list, PITCH_UM))
        assert not inside.touches_border
    assert at_edge.glimpsed
    assert eyes.alone[2] == 40
    assert eyes.alone[1] < 20


def test_a_body_that_hides_is_mostly_told_of() -> None:
    told = []
    for n in range(0, 600, 2):
        pair = [body(LARGE, n + 1), body(BodySpec("debris", 60.0, None, "debris", 0, 1), n + 2)]
        eyes = vision(pair)
        for k in range(5):
            seen = eyes.detect(frame(k))
        if len(seen) == 1 and not seen[0].double:
            _, crops = eyes.classify(frame(4), seen)
            told.append(eyes.hides_body(list(crops), 300.0))
    assert len(told) > 100
    assert np.mean(told) == pytest.approx(MEASURED.hidden_found, abs=0.08)


def test_the_network_tells_healthy_from_unhealthy_mostly() -> None:
    for spec, low, high in ((HEALTHY, 0.0, 0.06), (UNHEALTHY, 0.9, 1.0)):
        p_not = []
        for n in range(200):
            eyes = vision([body(spec, n)])
            seen = eyes.detect(frame(0))
            probabilities, crops = eyes.classify(frame(0), seen[:1])
            assert probabilities.shape == (1, 3)
            assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)
            assert crops.shape[0] == 1
            p_not.append(1.0 - probabilities[0, 0])
        assert low <= np.median(p_not) <= high
