"""How one body looks to `hardware_sim.detections`, in all its views."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hardware_sim.detection_errors import KindErrors


@dataclass(slots=True)
class Look:
    """What is drawn once for a body, and what has been counted of it."""

    errors: KindErrors
    roll_um: float
    off_um: tuple[float, float]
    size: float
    enlarged: float
    circularity: float
    double: float
    deficit: float
    logit: float
    logit_spread: float
    is_other: bool
    pair_u: float
    hidden_u: float
    views: int = 0
    hiding: Counter[int] = field(default_factory=Counter)
