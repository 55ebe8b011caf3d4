"""How wrong detection and classification are, as numbers: read off pixel runs, then frozen.

Three scenes of the simulator (seeds 901 to 903, 25 s each at 100 frames/s, 4 spheroids/s, 40 %
unhealthy, more debris, bubbles, fibres and doubles than usual), 6,428 frames, 610 bodies, shipped
segmentation and bundle; each detection was tied to the bodies whose centre lies in its box. What
the numbers are is said at each field; where ``n`` is small the value is a guess of that order and
no more. Real spheroids: unvalidated.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from hardware_sim.body_spec import BodySpec


@dataclass(frozen=True, slots=True)
class KindErrors:
    """How bodies of one kind look; pairs are (mean, standard deviation) over bodies.

    Attributes:
        roll: amplitude with which the centroid rolls to and fro along the flow, share of the
            diameter. off: constant offsets across it, likewise (standard deviation).
        white_um: what is left from view to view, both ways.
        size: logarithm of measured over true diameter. size_view: its spread from view to view.
        circularity: and its spread from view to view.
        solidity, grey: means over bodies.
        double: share of views in which one alone is marked double.
        extra: fragments beside it that are detections of their own, a view.
    """

    roll: tuple[float, float]
    off: float
    white_um: float
    size: tuple[float, float]
    size_view: float
    circularity: tuple[float, float]
    circularity_view: float
    solidity: float
    grey: float
    double: tuple[float, float] = (0.0, 0.0)
    extra: float = 0.0


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """All errors of detection and classification.

    Attributes:
        kinds: by kind, spheroids by health, debris by ``debris_small`` (below 30 µm) or ``debris``.
        found: (smallest diameter in µm, share of views in which debris is found, for a defocus
            below 60, 150, 300 µm and beyond); everything larger is always found.
        merged: for two free bodies that overlap by more than 20 px, of like size: shares of one
            detection marked double, and of one that is not; else they are two.
        merged_small: the same for a body of less than 0.4 times the other's diameter, and from
            where on they touch.
        grouped: shares for members of a touching group.
        deficit, deficit_far, deficit_small: diameter by the light deficit over the true one: debris
            of 30 µm and more less than 200 µm out of focus (n = 558 grains of 30 to 34 µm, 0.85 to
            1.15) and further out (n = 569, 0.77 to 1.13), and smaller debris (n = 2,569 views).
        deficit_view, deficit_far_view: its spread from view to view.
        deficit_fibre: of fibres, over the diameter as it looks (n = 185 tracks, 0.36 to 1.13).
        enlarged: (defocus, by how much debris of 30 to 34 µm looks larger there, and its standard
            deviation), µm (n = 1,153 grains); linear between the rows. What is larger is enlarged
            by as much less as it is larger: blur adds in quadrature.
        fibre_um: no fibre looks smaller as long as it is one (n = 407 tracks of 120 to 240 µm).
        fibre_reach: longer side of a fibre's box over its length.
        hidden_found: share of bodies hidden behind a spheroid that `hides_body` tells of.
        not_healthy: logit of the probability of not being healthy, its mean over the views of a
            body: percentiles 1, 5, 25, 50, 75, 95 and 99 over bodies, and its spread between views.
    """

    kinds: dict[str, KindErrors]
    found: tuple[tuple[float, tuple[float, float, float, float]], ...]
    merged: tuple[float, float]
    merged_small: tuple[float, float]
    grouped: tuple[float, float]
    hidden_found: float
    not_healthy: dict[str, tuple[tuple[float, ...], float]]
    enlarged: tuple[tuple[float, float, float], ...] = (
        (15.0, 0.2, 0.95), (40.0, 0.7, 0.8), (61.0, 1.4, 0.9), (86.0, 2.5, 0.9), (99.0, 3.3, 0.9),
        (134.0, 5.5, 0.85), (174.0, 8.6, 1.2), (226.0, 12.5, 1.5), (273.0, 16.3, 1.6),
        (324.0, 20.5, 1.6), (374.0, 24.6, 1.5), (424.0, 28.4, 1.7), (474.0, 30.2, 2.2),
        (524.0, 31.4, 3.3), (575.0, 30.8, 4.0), (615.0, 29.7, 4.5),
    )  # fmt: skip
    deficit: tuple[float, float] = (0.99, 0.048)
    deficit_far: tuple[float, float] = (0.965, 0.045)
    deficit_small: tuple[float, float] = (0.93, 0.075)
    deficit_view: float = 0.05
    deficit_far_view: float = 0.09
    deficit_fibre: tuple[float, float] = (0.64, 0.13)
    fibre_um: float = 38.0
    fibre_reach: float = 0.7


def kind_of(spec: BodySpec) -> str:
    """The key of `ErrorModel.kinds` for a body."""
    if spec.kind == "spheroid":
        return spec.health or "healthy"
    if spec.kind == "debris":
        return "debris" if spec.diameter_um >= 30.0 else "debris_small"
    return spec.kind


def judged_as(spec: BodySpec) -> str:
    """The key of `ErrorModel.not_healthy` for a body."""
    if spec.kind != "spheroid":
        return "other"
    if spec.health != "unhealthy":
        return "healthy"
    return f"unhealthy{min(2, max(0, int((spec.severity - 0.4) / 0.2)))}"


PERCENTS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
"""Where the percentiles of `ErrorModel.not_healthy` lie; its ends are 0 and 100."""


def from_percentiles(values: Sequence[float], u: float) -> float:
    """The value that a share `u` of all lies below, given those at `PERCENTS`."""
    i = min(bisect_right(PERCENTS, u), len(PERCENTS) - 1)
    low, high = PERCENTS[i - 1], PERCENTS[i]
    return values[i - 1] + (values[i] - values[i - 1]) * (u - low) / (high - low)


# n: healthy 231 bodies, unhealthy 91, bubbles 18, debris 28 (30 µm and more) and 192, fibres 6
# (their size 407).
MEASURED = ErrorModel(
    kinds={
        "healthy": KindErrors(
            (0.0063, 0.0036), 0.0068, 0.3, (0.0185, 0.0167), 0.0101, (0.950, 0.026), 0.023, 0.978,
            0.70, (0.002, 0.018), 0.006,
        ),
        "unhealthy": KindErrors(
            (0.0221, 0.0186), 0.0200, 0.6, (0.0014, 0.0828), 0.0189, (0.822, 0.121), 0.041, 0.945,
            0.68, (0.221, 0.282), 0.16,
        ),
        "bubble": KindErrors(
            (0.0035, 0.0012), 0.0010, 0.55, (0.390, 0.120), 0.0100, (0.973, 0.020), 0.020, 0.978,
            0.74, (0.006, 0.017),
        ),
        "debris": KindErrors(
            (0.0682, 0.0371), 0.0550, 0.7, (0.290, 0.261), 0.0319, (0.911, 0.066), 0.038, 0.960,
            0.59,
        ),
        "debris_small": KindErrors(
            (0.0520, 0.0293), 0.0600, 0.66, (0.409, 0.212), 0.0407, (0.853, 0.167), 0.038, 0.927,
            0.78,
        ),
        "fibre": KindErrors(
            (0.0261, 0.0204), 0.0300, 2.0, (-0.98, 0.28), 0.1055, (0.453, 0.241), 0.063, 0.695,
            0.80, (0.887, 0.126), 0.20,
        ),
    },
    found=(
        (15.0, (0.0, 0.096, 0.277, 0.003)),
        (22.0, (0.468, 0.971, 1.0, 0.221)),
        (30.0, (1.0, 1.0, 1.0, 0.764)),
    ),
    merged=(0.53, 0.31),  # n = 283 frames
    merged_small=(0.25, 0.65),  # n = 52 frames
    grouped=(0.035, 0.003),  # n = 397 frames
    hidden_found=0.9,  # not measured here: tests/sorter/test_hidden.py finds 9 in 10 or more
    not_healthy={
        "healthy": ((-6.9, -6.36, -5.76, -5.01, -4.46, -3.64, -1.58, 0.98, 2.5), 0.76),  # n = 230
        "unhealthy0": ((-1.0, -0.74, -0.29, 2.62, 4.75, 6.89, 8.41, 9.12, 9.21), 1.53),  # n = 32
        "unhealthy1": ((-2.0, -1.69, 1.14, 5.97, 7.99, 8.61, 9.21, 9.21, 9.21), 1.26),  # n = 23
        "unhealthy2": ((3.0, 3.51, 3.79, 6.17, 8.08, 9.06, 9.21, 9.21, 9.21), 0.49),  # n = 29
        "other": ((7.3, 7.41, 7.48, 7.68, 7.78, 8.11, 8.25, 8.45, 8.49), 0.20),  # n = 21
    },
)  # fmt: skip
