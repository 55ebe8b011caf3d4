"""The fast drawing of bodies against the formulas, written down plainly and drawn one by one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_sim.anatomy import Anatomy, Floats, Lump, directions, look_up, surface_index
from hardware_sim.bodies import CloudBody, defocus_sigma_um
from hardware_sim.canvas import Stamps, add_stamps
from hardware_sim.phenotypes import DEFECTS, HARMLESS
from hardware_sim.silhouettes import surface_rows
from hardware_sim.small_parts import _ball_cover, _ball_kernel
from hardware_sim.spheroids import BodySpec, make_body
from hardware_sim.travellers import random_turn

PITCH_UM, DEPTH_UM = 1.73, 100.0
ANGLES = 256
TILTS = np.deg2rad(np.array([-50.0, -32.0, -16.0, 0.0, 16.0, 32.0, 50.0])).astype(np.float32)


class Plain:
    """A body drawn plainly: one part after the other, the whole canvas each time."""

    def __init__(self, anatomy: Anatomy, turn: Floats, side: int, at: tuple[float, float]) -> None:
        self.turn, self.at = turn, at
        self.log_light = np.zeros((side, side), np.float32)
        self.main_um = anatomy.lumps[0].mean_radius_um if anatomy.lumps else 0.0
        for lump in sorted(anatomy.lumps, key=lambda one: float(turn[2] @ one.centre_um)):
            self.lump(lump)
        for balls in anatomy.balls:
            view = balls.centres_um @ turn.T
            weights = balls.contrast * self.visible(view)
            for i in np.argsort(view[:, 2]):
                size = max(float(np.rint(balls.radii_um[i] / PITCH_UM * 4) / 4), 0.75)
                hide = np.float32(balls.opacity) * _ball_cover(size)
                self.stamp(_ball_kernel(size, balls.look), view[i], weights[i], hide)
        self.grain(anatomy)
        clouds = [*((c, "clear") for c in anatomy.cells), (anatomy.grains, "dark")]
        for cloud, look in clouds:
            if cloud is not None:
                size = max(0.75, round(cloud.size_um / PITCH_UM * 4) / 4)
                kernel = _ball_kernel(size, look)
                self.points(cloud.points_um, cloud.weights, kernel)

    def outline(self, lump: Lump) -> list[Floats]:
        psi = np.arange(ANGLES, dtype=np.float32) * np.float32(2 * np.pi / ANGLES)
        cos, sin = np.cos(TILTS)[:, None], np.sin(TILTS)[:, None]
        view = np.stack([cos * np.cos(psi), cos * np.sin(psi), sin + 0 * psi], axis=-1)
        table = look_up(lump.surface, view @ self.turn)
        limb = table[len(TILTS) // 2]
        rows = (np.max(table[..., 0] * cos, axis=0), limb[:, 1], limb[:, 2])
        third = np.ones(3, np.float32) / 3
        return [np.convolve(np.concatenate([r[-1:], r, r[:1]]), third, "valid") for r in rows]

    def lump(self, lump: Lump) -> None:
        centre = self.turn @ lump.centre_um
        radius, soft, rim = self.outline(lump)
        cx, cy = self.at[0] + centre[0] / PITCH_UM, self.at[1] + centre[1] / PITCH_UM
        axis = np.arange(len(self.log_light), dtype=np.float32)
        dx, dy = np.meshgrid(
            (axis - np.float32(cx)) * np.float32(PITCH_UM),
            (axis - np.float32(cy)) * np.float32(PITCH_UM),
        )
        distance, angle = cv2.cartToPolar(dx, dy)
        index = np.minimum((angle * np.float32(ANGLES / (2 * np.pi))).astype(int), ANGLES - 1)
        edge, softness = radius[index], soft[index]
        share = np.square(distance / edge)
        chord = np.clip(1.0 - share, 2e-3, 1.0)
        bend = np.square(np.float32(lump.rim) * rim)[index] * share / chord
        keep = lump.rim_floor + (1.0 - lump.rim_floor) / (1.0 + bend * bend)
        keep += softness * (1.0 - keep) * np.float32(0.85)
        loss = lump.absorption_per_um * 2.0 * edge * np.sqrt(chord)
        for void in lump.voids:
            middle = self.turn @ void.centre_um
            off = np.square(dx - middle[0]) + np.square(dy - middle[1])
            inside = off / np.float32(void.radius_um**2)
            root = np.sqrt(np.clip(1.0 - inside, 0.0, 1.0))
            loss -= lump.absorption_per_um * 2.0 * void.radius_um * root
            loss += 0.45 * np.exp(-np.square((inside - 0.93) / 0.1)) - 0.10 * root
        if lump.core_depth > 0.0:
            loss += lump.core_depth * np.exp(-np.square(share / np.float32(lump.core_share**2)))
        cover = np.clip((edge - distance) / (PITCH_UM + softness * edge * 0.3) + 0.5, 0, 1)
        self.log_light *= 1.0 - 0.75 * cover
        self.log_light += np.log(1.0 - cover * (1.0 - keep * np.exp(-loss)))

    def visible(self, view: Floats) -> NDArray[np.floating]:
        if self.main_um <= 0.0:
            return np.ones(len(view))
        beside = np.clip((np.hypot(view[:, 0], view[:, 1]) / self.main_um - 0.82) / 0.18, 0, 1)
        through = np.where(view[:, 2] > 0.0, 0.45, 0.12)
        return np.asarray(through + (1.0 - through) * beside)

    def pixel(self, view: Floats) -> tuple[int, int]:
        scale = np.float32(1.0 / PITCH_UM)
        x, y = (view[i] * scale + np.float32(self.at[i] + 0.5) for i in (0, 1))
        return int(x), int(y)

    def stamp(self, kernel: Floats, view: Floats, weight: float, hide: Floats) -> None:
        (x, y), half = self.pixel(view), kernel.shape[0] // 2
        target = self.log_light[y - half : y + half + 1, x - half : x + half + 1]
        target *= 1.0 - hide
        target += kernel * np.float32(weight)

    def splat(self, view: Floats, weights: NDArray[np.floating]) -> Floats:
        hits = np.zeros_like(self.log_light)
        for point, weight in zip(view, weights, strict=True):
            x, y = self.pixel(point)
            hits[y, x] += weight
        return hits

    def grain(self, anatomy: Anatomy) -> None:
        cloud = anatomy.grain
        if cloud is None:
            return
        view = cloud.points_um @ self.turn.T
        focus = np.exp(-np.square(view[:, 2] / DEPTH_UM))
        sigma = max(0.7, cloud.size_um / PITCH_UM)
        extent = float(np.sqrt(np.mean(np.square(view[:, :2]))) * 2 / PITCH_UM)
        density = len(view) / max(1.0, np.pi * extent**2)
        scale = anatomy.grain_strength * sigma * np.sqrt(4 * np.pi / max(density, 1e-3))
        sharp = blurred(self.splat(view, cloud.weights * focus), sigma)
        coarse = blurred(self.splat(view, cloud.weights * (1 - focus)), 1.6 * sigma)
        self.log_light += (scale * sharp + 1.2 * scale * coarse).astype(np.float32)

    def points(self, points: Floats, weights: Floats, kernel: Floats) -> None:
        view = points @ self.turn.T
        hits = self.splat(view, weights * self.visible(view))
        drawn = cv2.filter2D(hits, -1, kernel, borderType=cv2.BORDER_CONSTANT)
        if len(view) >= 60:
            drawn = np.maximum(drawn, -1.4)
        self.log_light += drawn


def blurred(image: NDArray[np.floating], sigma: float) -> NDArray[np.floating]:
    side = 2 * max(1, round(3.0 * sigma)) + 1
    return np.asarray(
        cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REPLICATE), np.float32
    )


def plain_picture(
    body: CloudBody, anatomy: Anatomy, turn: Floats, defocus_um: float, centre: tuple[float, float]
) -> NDArray[np.floating]:
    """Transmission on the patch that the body itself would choose."""
    sigma = float(np.hypot(1.5, defocus_sigma_um(defocus_um, DEPTH_UM))) / PITCH_UM
    half = int(np.ceil(body.radius_um / PITCH_UM + 3.0 * sigma + 6.0))
    at = (centre[0] - round(centre[0]) + half, centre[1] - round(centre[1]) + half)
    plain = Plain(anatomy, turn, 2 * half + 1, at)
    light = blurred(np.exp(np.clip(plain.log_light, -3.0, 0.6)), sigma)
    wide = cv2.boxFilter(light, -1, (7, 7), borderType=cv2.BORDER_REPLICATE)
    return np.clip(1.35 * light - 0.35 * wide, 0.02, 1.9)


KINDS = [
    *((name, 0.9) for name in sorted(DEFECTS)),
    ("loose_rim", 0.41),
    ("healthy", 0.2),
    *((name, 0.25) for name in sorted(HARMLESS)),
    ("debris", 0.0),
    ("bubble", 0.0),
    ("fibre", 0.0),
]


@pytest.mark.parametrize(("phenotype", "severity"), KINDS)
def test_the_fast_drawing_is_the_plain_one(phenotype: str, severity: float) -> None:
    kind = phenotype if phenotype in ("debris", "bubble", "fibre") else "spheroid"
    spec = BodySpec(kind, 180.0 if kind == "spheroid" else 70.0, None, phenotype, severity, 11)  # type: ignore[arg-type]
    body = make_body(spec, depth_of_field_um=DEPTH_UM)
    rng = np.random.default_rng(3)
    for defocus_um in (0.0, 60.0):
        rotation = random_turn(rng)
        centre = (100.0 + float(rng.uniform()), 90.0 + float(rng.uniform()))
        drawn = body.transmission(
            rotation, pitch_um=PITCH_UM, defocus_um=defocus_um, centre_px=centre
        ).transmission
        turn = rotation.astype(np.float32)
        plain = plain_picture(body, body.anatomy, turn, defocus_um, centre)
        assert drawn.shape == plain.shape
        # A hundredth of a grey value of a background of 160.
        assert np.abs(drawn - plain).max() < 6e-5


def test_preparing_a_body_changes_nothing() -> None:
    spec = BodySpec("spheroid", 180.0, "unhealthy", "grape_like", 0.9, 4)
    look = {"pitch_um": PITCH_UM, "defocus_um": 20.0, "centre_px": (50.3, 60.7)}
    ready, bare = make_body(spec), make_body(spec)
    ready.prepare(PITCH_UM)
    turn = random_turn(np.random.default_rng(1))
    one, two = (body.transmission(turn, **look) for body in (ready, bare))  # type: ignore[arg-type]
    np.testing.assert_array_equal(one.transmission, two.transmission)
    # Another pitch, then the first again.
    ready.transmission(turn, pitch_um=3.0, defocus_um=20.0, centre_px=(50.3, 60.7))
    again = ready.transmission(turn, **look)  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.transmission, two.transmission)


def stamped(
    canvas: Floats, picture: Floats, keep: Floats, x: int, y: int, weight: np.float32
) -> Floats:
    """The canvas with a picture on it, as far as there is canvas."""
    half, spare = len(picture) // 2, 20
    room = np.pad(canvas, spare)
    rows, columns = (slice(at + spare - half, at + spare + half + 1) for at in (y, x))
    room[rows, columns] = room[rows, columns] * keep + picture * weight
    return room[spare:-spare, spare:-spare]


# The second hang over the border, some of the third lie outside.
@pytest.mark.parametrize("margin", [8, 1, -7])
def test_stamps_are_laid_one_by_one_as_far_as_there_is_canvas(margin: int) -> None:
    rng = np.random.default_rng(2)
    sizes = [0.75, 2.0, 4.0, 5.5]
    pictures = [(_ball_kernel(size, "clear"), 1 - _ball_cover(size)) for size in sizes]
    places = (rng.integers(margin, 50 - margin, 4), rng.integers(margin, 50 - margin, 4))
    weights = rng.uniform(0.1, 1.0, 4).astype(np.float32)
    order = np.array([2, 0, 3, 1])
    drawn = rng.uniform(-1.0, 0.0, (50, 50)).astype(np.float32)
    plain = drawn.copy()
    for i in order:
        picture, keep = pictures[i]
        plain = stamped(plain, picture, keep, places[0][i], places[1][i], weights[i])
    Stamps.of(pictures).lay(drawn, order, places, weights)
    np.testing.assert_array_equal(drawn, plain)


@pytest.mark.parametrize("margin", [8, 1, -7])
def test_equal_stamps_are_added_as_far_as_there_is_canvas(margin: int) -> None:
    rng = np.random.default_rng(2)
    kernel = _ball_kernel(4.0, "clear")
    places = (rng.integers(margin, 50 - margin, 30), rng.integers(margin, 50 - margin, 30))
    weights = rng.uniform(0.1, 1.0, 30).astype(np.float32)
    drawn = plain = np.zeros((50, 50), np.float32)
    for x, y, weight in zip(*places, weights, strict=True):
        plain = stamped(plain, kernel, np.ones_like(kernel), x, y, weight)
    add_stamps(drawn, kernel, *places, weights)
    np.testing.assert_array_equal(drawn, plain)


def test_the_directions_of_a_silhouette_are_looked_up_as_all_others() -> None:
    """But for those on the line between two rows, to single precision."""
    rng = np.random.default_rng(4)
    for rotation in [np.eye(3), *(random_turn(rng) for _ in range(50))]:
        turn = rotation.astype(np.float32)
        view = directions(rng, 2000).T.reshape(3, 20, 100)
        rows = np.empty((20, 100), np.int32)
        surface_rows(view, turn, rows)
        plain = surface_index(np.moveaxis(view, 0, -1) @ turn)
        assert np.mean(rows != plain) <= 1e-3
