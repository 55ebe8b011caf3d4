"""Where and when a body was seen."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


class Sighting(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A track's detection in one frame, as the record takes it; in pixels of that frame."""

    frame: int
    x_px: float
    y_px: float


@dataclass(frozen=True, slots=True)
class Moment:
    """When a frame was exposed.

    Attributes:
        frame: its number.
        exposed_ns, exposed_error_ns: host time, and how far it may be off.
        liquid_ns, unrest_ns: liquid time, and how far it may be off for the valve's jitter.
    """

    frame: int
    exposed_ns: int
    exposed_error_ns: int
    liquid_ns: float
    unrest_ns: float
