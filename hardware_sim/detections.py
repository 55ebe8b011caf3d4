"""What the controller's eyes would have found, straight from the bodies: no pixels, no network.

`DetectionVision` stands where `sorter.pipeline.PixelVision` does. Its errors are drawn from
`hardware_sim.detection_errors`, which were measured on pixels.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from drivers.ports import Frame
from hardware_sim.body_spec import BodySpec
from hardware_sim.clumps import Disc, Outline, clumps, outline
from hardware_sim.detection_errors import (
    MEASURED,
    ErrorModel,
    KindErrors,
    from_percentiles,
    judged_as,
    kind_of,
)
from hardware_sim.glimpses import in_haste
from hardware_sim.looks import Look
from sorter.attention import Attention, Full
from sorter.detection import Detection

_NO_CONTOUR = np.empty((0, 2), np.int32)
_PAIR_FROM_UM = 25.0
_BESIDE_PX = 8.0
_ROUND = (1.0, 1.0, 1.0, 1.0)
_SMALL_RATIO = 0.4
_FLOOR = 1e-4
_DEFICIT_FACTOR = 1.33  # of sorter.descent: diameter over the root of the deficit
_SIGMAS = 3.5
_FAR_UM = 200.0
_LEAST_GRAIN_UM = 30.0
_GRAIN_UM = 32.0  # the grains on which `ErrorModel.enlarged` was measured
_LEAST_SHOWN = 0.12  # of its area: less than that of a body at the edge is not found


@dataclass(frozen=True, slots=True)
class InView:
    """A body as a frame shows it: its number, what it is, and where its centre lies."""

    body: int
    group: int | None
    spec: BodySpec
    x_px: float
    y_px: float
    defocus_um: float
    angle_rad: float


def _normal(random: Random) -> float:
    return min(max(random.gauss(0.0, 1.0), -_SIGMAS), _SIGMAS)


class DetectionVision:
    """`sorter.pipeline.Vision` on bodies instead of pixels.

    Args:
        seen_in: the bodies that a frame shows.
        pitch_um, width_px, height_px: the camera's.
        weigh_below_um: below this diameter the light deficit is measured (`sorter.decide`).
        seed: of all errors.
        run: of a rig, whose bodies look the same in each.
        model: the errors.

    Attributes:
        alone: how often each body was shown by a detection of its own, outlined or glimpsed, that
            no border cuts: what comes into view cut off is not followed yet.
        hidden: how often it was within another's detection that was not marked double.
    """

    def __init__(
        self,
        seen_in: Callable[[Frame], Sequence[InView]],
        *,
        pitch_um: float,
        width_px: int,
        height_px: int,
        weigh_below_um: float,
        seed: int,
        run: int = 0,
        model: ErrorModel = MEASURED,
    ) -> None:
        self._seen_in = seen_in
        self._pitch_um = pitch_um
        self._width_px, self._height_px = width_px, height_px
        self._weigh_below_um = weigh_below_um
        self._seed = seed
        self._model = model
        self._enlarged = np.array(model.enlarged).T
        self._random = Random(f"vision {seed} {run}")
        self._looks: dict[int, Look] = {}
        self._shown: dict[int, InView] = {}
        self._kept: list[Detection] = []
        self._own: dict[int, int] = {}  # bodies by the id of the detection that shows one alone
        self.alone: Counter[int] = Counter()
        self.hidden: Counter[int] = Counter()

    # -- sorter.pipeline.Vision ---------------------------------------------------------------

    def detect(self, frame: Frame, attention: Attention | None = None) -> list[Detection]:
        """See `sorter.pipeline.Vision.detect`."""
        bodies = [b for b in self._seen_in(frame) if self._is_found(b)]
        attention = attention or Full()
        self._shown = {}
        self._kept = []
        self._own = {}
        merged, outlines = self._merged(bodies)
        for i, body in enumerate(bodies):
            how = merged.get(i)
            if how == "gone":
                continue
            self._show(body, how, outlines.get(i))
        told = [(d, d) for d in self._kept]
        if attention.is_short(len(bodies)):
            shape = self._height_px, self._width_px
            told = in_haste(self._kept, attention, pitch_um=self._pitch_um, shape=shape)
        for detection, outlined in told:
            if id(outlined) in self._own and not detection.touches_border:
                self.alone[self._own[id(outlined)]] += 1
        return [detection for detection, _ in told]

    def classify(
        self, frame: Frame, detections: Sequence[Detection]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Probabilities (n, 3) of healthy, unhealthy and other; a crop is the body's number."""
        gauss = self._random.gauss
        rows, crops = [], np.zeros((len(detections), 1, 4), np.uint8)
        for i, detection in enumerate(detections):
            body = self._shown[id(detection)]
            look = self._look(body)
            p = 1.0 / (1.0 + math.exp(-gauss(look.logit, look.logit_spread)))
            p = min(max(p, _FLOOR), 1.0 - _FLOOR)
            other = 0.999 * p if look.is_other else min(0.005, p)
            rows.append((1.0 - p, p - other, other))
            crops[i, 0] = list(body.body.to_bytes(4, "little"))
        return np.array(rows, np.float32).reshape(len(rows), 3), crops

    def hides_body(self, crops: Sequence[NDArray[np.uint8]], diameter_um: float) -> bool:
        """Whether a body travelled within the outline of this one for most of the view."""
        if not len(crops):
            return False
        look = self._looks[int.from_bytes(crops[-1].tobytes(), "little")]
        with_it = max(look.hiding.values(), default=0)
        return 2 * with_it > look.views and look.hidden_u < self._model.hidden_found

    def settle(self) -> None:
        """Nothing waits."""

    # -- how bodies look ----------------------------------------------------------------------

    def _look(self, body: InView) -> Look:
        look = self._looks.get(body.body)
        if look is None:
            look = self._looks[body.body] = self._draw(body)
        return look

    def _draw(self, body: InView) -> Look:
        random = Random(f"look {self._seed} {body.body}")
        spec, gauss = body.spec, random.gauss
        errors = self._model.kinds[kind_of(spec)]
        judged = judged_as(spec)
        percentiles, spread = self._model.not_healthy[judged]
        across = 2.0 * spec.diameter_um
        return Look(
            errors=errors,
            # Standard deviations of a sine are its amplitude over the root of two.
            roll_um=max(0.0, gauss(*errors.roll)) * spec.diameter_um * math.sqrt(2.0),
            off_um=(
                gauss(0.0, 0.4 * errors.off) * spec.diameter_um,
                min(across, gauss(0.0, errors.off) * spec.diameter_um),
            ),
            size=self._draw_size(spec, errors, random),
            enlarged=_normal(random),
            circularity=gauss(*errors.circularity),
            double=gauss(*errors.double),
            deficit=_normal(random),
            logit=from_percentiles(percentiles, random.random()),
            logit_spread=spread,
            is_other=judged == "other",
            pair_u=random.random(),
            hidden_u=random.random(),
        )

    def _draw_size(self, spec: BodySpec, errors: KindErrors, random: Random) -> float:
        size = random.gauss(*errors.size)
        if spec.kind == "fibre":
            return max(size, math.log(self._model.fibre_um / spec.diameter_um))
        return max(0.0, size) if spec.kind == "debris" else size  # blur only enlarges

    def _looks_um(self, body: InView, look: Look) -> float:
        """Diameter that a body seems to have, the same in all views at this defocus."""
        d_um = body.spec.diameter_um
        if body.spec.kind != "debris" or d_um < _LEAST_GRAIN_UM:
            return d_um * math.exp(look.size)
        off_um, mean_um, sd_um = self._enlarged
        off = abs(body.defocus_um)
        by_um = np.interp(off, off_um, mean_um) + look.enlarged * np.interp(off, off_um, sd_um)
        return d_um + float(by_um) * _GRAIN_UM / d_um

    def _light_um(self, body: InView, look: Look, looks_um: float) -> float:
        """Diameter by the light that a body takes out of this view."""
        model, d_um, view = self._model, body.spec.diameter_um, self._model.deficit_view
        mean, sd = model.deficit
        if body.spec.kind == "fibre":
            (mean, sd), d_um = model.deficit_fibre, looks_um
        elif d_um < _LEAST_GRAIN_UM:
            mean, sd = model.deficit_small
        elif abs(body.defocus_um) > _FAR_UM:
            (mean, sd), view = model.deficit_far, model.deficit_far_view
        return d_um * max(0.0, mean + sd * look.deficit + self._random.gauss(0.0, view))

    def _is_found(self, body: InView) -> bool:
        if body.spec.kind != "debris" or body.spec.diameter_um >= self._model.found[-1][0]:
            return True
        off = abs(body.defocus_um)
        column = 0 if off < 60 else 1 if off < 150 else 2 if off < 300 else 3
        for below_um, shares in self._model.found:
            if body.spec.diameter_um < below_um:
                return self._random.random() < shares[column]
        return True

    def _merged(self, bodies: Sequence[InView]) -> tuple[dict[int, str], dict[int, Outline]]:
        """Bodies that share a detection: the largest of them is 'double' or 'single', the others
        'gone'; 'split' where they touch but are told apart. And what shared detections look like.
        """
        how: dict[int, str] = {}
        pairs: dict[tuple[int, int], str] = {}
        for i, a in enumerate(bodies):
            for j in range(i + 1, len(bodies)):
                met = self._meet(a, bodies[j])
                if met == "split":
                    how |= {i: met, j: met}
                elif met is not None:
                    pairs[i, j] = met
        outlines: dict[int, Outline] = {}
        for clump in clumps(pairs):
            members = sorted(clump, key=lambda i: bodies[i].spec.diameter_um, reverse=True)
            is_double = any(met == "double" and i in clump for (i, _), met in pairs.items())
            how |= dict.fromkeys(members, "gone") | {
                members[0]: "double" if is_double else "single"
            }
            outlines[members[0]] = outline([self._disc(bodies[i]) for i in members])
            if not is_double:
                self._hide(bodies[members[0]], [bodies[i] for i in members[1:]])
        return how, outlines

    def _meet(self, a: InView, b: InView) -> str | None:
        """What two look like together: 'double' or 'single' as one, 'split' as two; None apart."""
        little, big = sorted((a, b), key=lambda body: body.spec.diameter_um)
        reach_px = self._disc(a).r_px + self._disc(b).r_px
        gap_px = math.hypot(a.x_px - b.x_px, a.y_px - b.y_px) - reach_px
        if gap_px >= _BESIDE_PX or little.spec.diameter_um < _PAIR_FROM_UM:
            return None
        if big.group is not None and big.group == little.group:
            double, single = self._model.grouped
        elif little.spec.diameter_um < _SMALL_RATIO * big.spec.diameter_um:
            double, single = self._model.merged_small if gap_px < 0 else (0.0, 0.0)
        else:
            double, single = self._model.merged if gap_px < -20.0 else (0.0, 0.0)
        # One draw a pair: what two bodies look like together changes little while they stay so.
        u = (self._look(big).pair_u + self._look(little).pair_u) % 1.0
        return "split" if u >= double + single else "double" if u < double else "single"

    def _disc(self, body: InView) -> Disc:
        return Disc(body.x_px, body.y_px, body.spec.diameter_um / 2 / self._pitch_um)

    def _hide(self, before: InView, others: Sequence[InView]) -> None:
        for other in others:
            self._look(before).hiding[other.body] += 1
            self.hidden[other.body] += 1

    def _show(self, body: InView, how: str | None, as_one: Outline | None = None) -> None:
        """Add the detection of a body, and of what lies beside it.

        Args:
            how: see `_merged`.
            as_one: its outline with others'.
        """
        look, random = self._look(body), self._random
        errors, d_um = look.errors, body.spec.diameter_um
        roll_um = look.roll_um * math.sin(body.angle_rad + look.hidden_u * math.tau)
        at = as_one or self._disc(body)
        x = at.x_px + (look.off_um[0] + roll_um + random.gauss(0, errors.white_um)) / self._pitch_um
        y = at.y_px + (look.off_um[1] + random.gauss(0, errors.white_um)) / self._pitch_um
        looks_um = self._looks_um(body, look) * at.r_px / self._disc(body).r_px
        seen_um = looks_um * math.exp(random.gauss(0, errors.size_view))
        light_um = seen_um
        if seen_um < self._weigh_below_um:
            light_um = self._light_um(body, look, looks_um)
        reach = as_one.reach if as_one else _ROUND
        if body.spec.kind == "fibre":
            along = max(1.0, self._model.fibre_reach * d_um / seen_um)
            reach = (along, 1.0, along, 1.0)
        double = how == "double" or (how is None and random.random() < look.double)
        made = self._detection(
            x,
            y,
            seen_um,
            look,
            light_um,
            split=how == "split",
            double=double,
            reach=reach,
        )
        if made is None:
            return
        look.views += 1
        self._keep(made, body)
        if how in (None, "split"):
            self._own[id(made)] = body.body
        if random.random() < errors.extra:
            angle, off_um = random.uniform(0, math.tau), d_um / 2 + random.uniform(5.0, 40.0)
            small_um = random.choice((20.5, 22.8, 25.0, 74.0))
            fragment = self._detection(
                x + off_um * math.cos(angle) / self._pitch_um,
                y + off_um * math.sin(angle) / self._pitch_um,
                small_um,
                look,
                small_um,
                split=False,
                double=False,
            )
            if fragment is not None:
                self._keep(fragment, body)

    def _keep(self, detection: Detection, body: InView) -> None:
        self._kept.append(detection)
        self._shown[id(detection)] = body

    def _detection(
        self,
        x: float,
        y: float,
        d_um: float,
        look: Look,
        light_um: float,
        *,
        split: bool,
        double: bool,
        reach: tuple[float, float, float, float] = _ROUND,
    ) -> Detection | None:
        """A body, cut off where it reaches out of the frame; None when too little shows.

        Args:
            light_um: its diameter by the light that it takes out.
            reach: see `Outline`, in radii.
        """
        r_px = d_um / 2 / self._pitch_um
        to_left, up, to_right, down = (r_px * radii for radii in reach)
        left, right = max(0.0, x - to_left), min(float(self._width_px), x + to_right)
        top, bottom = max(0.0, y - up), min(float(self._height_px), y + down)
        if right - left < 1.0 or bottom - top < 1.0:
            return None
        share = (right - left) * (bottom - top) / ((to_left + to_right) * (up + down))
        border = left == 0.0 or top == 0.0 or right == self._width_px or bottom == self._height_px
        if border:
            if share < _LEAST_SHOWN:
                return None
            x, y = (left + right) / 2, (top + bottom) / 2
            d_um *= math.sqrt(share)
            light_um *= math.sqrt(share)
        area_um2 = math.pi * d_um * d_um / 4
        circularity = look.circularity + self._random.gauss(0, look.errors.circularity_view)
        deficit = math.nan
        if d_um < self._weigh_below_um:
            deficit = (light_um / _DEFICIT_FACTOR) ** 2
        bbox = (int(left), int(top), max(1, int(right - left)), max(1, int(bottom - top)))
        if border and right >= self._width_px:
            bbox = (bbox[0], bbox[1], self._width_px - bbox[0], bbox[3])
        return Detection(
            x, y, area_um2, d_um, min(1.0, max(0.05, circularity)), look.errors.solidity,
            look.errors.grey, bbox, border, split, double, _NO_CONTOUR, deficit,
        )  # fmt: skip
