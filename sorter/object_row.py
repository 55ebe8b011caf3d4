"""Decided objects as rows of the record."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from sorter.decide import Decision, Reason
from sorter.pipeline import DecidedObject
from sorter.record_rows import ObjectRow


def object_row(
    decided: DecidedObject,
    decision: Decision,
    received_ns: int,
    decided_ns: int,
    *,
    arrival_ns: int,
    arrival_error_ns: int,
) -> ObjectRow:
    """The record's row of a decided object; features are medians over its whole views."""
    track, views = decided.track, decided.views
    last = track.last
    n = len(views.diameters_um)
    return ObjectRow(
        id=track.id,
        first_exposed_ns=track.first_exposed_ns,
        last_exposed_ns=track.last_exposed_ns,
        received_ns=received_ns,
        decided_ns=decided_ns,
        diameter_um=_middle(views.diameters_um, last.diameter_um),
        circularity=_middle(views.circularities, last.circularity),
        solidity=_middle(views.solidities, last.solidity),
        grey_ratio=_middle(views.grey_ratios, last.grey_ratio),
        velocity_um_s=track.speed_um_s if n else 0.0,
        n_views=len(views.probabilities),
        double=decision.reason is Reason.DOUBLE,
        split=2 * views.splits > n,
        touching=2 * views.cut > n,
        p_unhealthy=decision.p_unhealthy,
        p_other=decision.p_other,
        view_probabilities=decided.probabilities.tobytes(),
        outlet=decision.outlet,
        reason=decision.reason.value,
        arrival_ns=arrival_ns,
        arrival_error_ns=arrival_error_ns,
        sightings=tuple(track.sightings),
    )


def telling_crops(decided: DecidedObject) -> list[NDArray[np.uint8]]:
    """The view that speaks most against the object, and a middle one."""
    views = decided.views
    if not views.crops:
        return []
    worst = int(decided.probabilities[:, decided.healthy_column].argmin())
    middle = len(views.crops) // 2
    return [views.crops[i] for i in dict.fromkeys((worst, middle))]


def _middle(values: Sequence[float], otherwise: float) -> float:
    return median(values) if values else otherwise
