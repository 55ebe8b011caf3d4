"""What a body of the simulator is: a few numbers from which all of it follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["spheroid", "debris", "bubble", "fibre"]


@dataclass(frozen=True, slots=True)
class BodySpec:
    """What a body is.

    Attributes:
        kind: spheroid, debris, bubble or fibre.
        diameter_um: of the sound body before the defect shrank or scattered it; for a fibre its
            length.
        health: healthy or unhealthy; None for what is no spheroid, and for real cut-outs.
        phenotype: name of the look; ``real`` for a cut-out of a real image.
        severity: 0 to 1; healthy below 0.3, unhealthy from 0.4, 0.3 to 0.4 is never drawn.
        seed: everything random about its shape.
    """

    kind: Kind
    diameter_um: float
    health: Literal["healthy", "unhealthy"] | None
    phenotype: str
    severity: float
    seed: int
