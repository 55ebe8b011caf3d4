"""Frames with bodies whose area, centre and shape are known exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.ports import Pixels

_FINE = 8


@dataclass(frozen=True)
class Ellipse:
    """A filled ellipse; a ring where ``inner`` is set, whose inside is as bright as outside.

    Attributes:
        x, y: centre, px.
        a, b: half axes, px.
        turn: angle of ``a`` to the x axis, rad.
        light: transmission of its dark part.
        inner: share of the half axes from which on it is dark.
    """

    x: float
    y: float
    a: float
    b: float
    turn: float = 0.0
    light: float = 0.4
    inner: float = 0.0

    @property
    def area(self) -> float:
        return math.pi * self.a * self.b

    @property
    def circularity(self) -> float:
        """From Ramanujan's perimeter of an ellipse."""
        h = ((self.a - self.b) / (self.a + self.b)) ** 2
        perimeter = math.pi * (self.a + self.b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))
        return 4 * math.pi * self.area / perimeter**2


def disc(x: float, y: float, radius: float, light: float = 0.4, inner: float = 0.0) -> Ellipse:
    return Ellipse(x, y, radius, radius, 0.0, light, inner)


def vignetted(shape: tuple[int, int], depth: float = 0.12) -> NDArray[np.float32]:
    """Light that falls off to the corners by ``depth``."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    far = ((x / shape[1] - 0.5) ** 2 + (y / shape[0] - 0.5) ** 2) * 2
    return np.asarray(1.0 - depth * far, np.float32)


def transmission(shape: tuple[int, int], bodies: Sequence[Ellipse]) -> NDArray[np.float64]:
    """(height, width) share of light that passes; edges by 8 x 8 samples a pixel."""
    result = np.ones(shape)
    for body in bodies:
        reach = max(body.a, body.b) + 1
        x0, x1 = max(0, int(body.x - reach)), min(shape[1], int(body.x + reach) + 2)
        y0, y1 = max(0, int(body.y - reach)), min(shape[0], int(body.y + reach) + 2)
        if x0 >= x1 or y0 >= y1:
            continue
        xs = (np.arange((x1 - x0) * _FINE) + 0.5) / _FINE - 0.5 + x0 - body.x
        ys = (np.arange((y1 - y0) * _FINE) + 0.5) / _FINE - 0.5 + y0 - body.y
        u = xs * math.cos(body.turn) + ys[:, None] * math.sin(body.turn)
        v = -xs * math.sin(body.turn) + ys[:, None] * math.cos(body.turn)
        share = np.hypot(u / body.a, v / body.b)
        dark = (share <= 1.0) & (share >= body.inner)
        cover = dark.reshape(y1 - y0, _FINE, x1 - x0, _FINE).mean(axis=(1, 3))
        result[y0:y1, x0:x1] *= 1.0 - cover * (1.0 - body.light)
    return result


def frame(
    shape: tuple[int, int],
    bodies: Sequence[Ellipse] = (),
    *,
    light: NDArray[np.float32] | float = 1.0,
    brightness: float = 0.65,
    noise: float = 0.0,
    bits: int = 8,
    seed: int = 0,
) -> Pixels:
    """A frame with bodies.

    Args:
        shape: (height, width).
        bodies: what is in it; where they overlap, light is lost twice.
        light: (height, width) illumination, 1 at its brightest.
        brightness: grey of full light, a share of full scale.
        noise: standard deviation, a share of the background.
        bits: 8 gives uint8, 9 to 16 uint16.
        seed: of the noise.
    """
    image = transmission(shape, bodies) * light
    if noise:
        image = image + np.random.default_rng(seed).normal(0.0, noise, shape)
    grey = np.rint(image * brightness * (2**bits - 1)).clip(0, 2**bits - 1)
    if bits == 8:
        return np.asarray(grey, np.uint8)
    return np.asarray(grey, np.uint16)


def anything(count: int, bits: int, shape: tuple[int, int] = (256, 320)) -> Iterator[Pixels]:
    """Frames with bodies of all kinds anywhere: round, long, pale inside, touching, cut off."""
    random = np.random.default_rng(0)
    for n in range(count):
        bodies = []
        for _ in range(4):
            x, y = random.uniform(0, shape[1]), random.uniform(0, shape[0])
            a, turn = random.uniform(6, 40), random.uniform(0, math.pi)
            b, inner = a * random.uniform(0.4, 1.0), random.choice((0.0, 0.8))
            bodies.append(Ellipse(x, y, a, b, turn, 0.4, inner))
            if random.random() < 0.5:  # another one that touches
                bodies.append(disc(x + 1.9 * a * math.cos(turn), y + 1.9 * a * math.sin(turn), a))
        yield frame(shape, bodies, noise=0.01, bits=bits, seed=n)
