"""Track and predictions to decision: which outlet, and why.

Size and shape come before the network: what is too small, too large, cut off, double or seen too
rarely goes to rest whatever the network says. A decision names the outlet that an object is *meant*
for; `sorter.schedule` may still send it to rest, for a conflict or because it is late.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sorter.hidden import HiddenSettings
from sorter.speck import SpeckSettings, is_speck
from sorter.votes import VoteSettings, aggregate_views, not_healthy


class Reason(StrEnum):
    """Why an object goes where it goes."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNSURE = "unsure"
    CONFLICT = "conflict"
    LATE = "late"
    SPECK = "speck"
    TOO_SMALL = "too_small"
    TOO_LARGE = "too_large"
    NOT_A_SPHEROID = "not_a_spheroid"
    DOUBLE = "double"
    CUT_OFF = "cut_off"
    UNSEEN = "unseen"
    HIDDEN = "hidden"
    SHADOW = "shadow"
    PRIMING = "priming"
    HELD = "held"
    STOPPING = "stopping"
    FAULT = "fault"


class OutletSettings(BaseModel):
    """Names of the outlets, as the dispenser declares them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collect: str = Field("collect", description="outlet of the healthy ones")
    rest: str = Field("waste", description="where everything goes when nobody says otherwise")
    recheck: str | None = Field(
        None, description="outlet for a second pass of unsure, late and conflicting ones, if any"
    )

    @model_validator(mode="after")
    def _rest_is_not_collect(self) -> OutletSettings:
        if self.rest == self.collect:
            raise ValueError("the rest outlet must never be the collect outlet")
        return self


class DecideSettings(BaseModel):
    """Size and shape window, and what the probabilities must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Literal["purity", "yield", "single"] = Field(
        "purity",
        description="purity: doubt goes to rest; yield: doubt is collected; "
        "single: purity, and never two bodies in one opening",
    )
    min_diameter_um: float = Field(100.0, gt=0, description="smallest spheroid collected, µm")
    speck: SpeckSettings = Field(default_factory=SpeckSettings)
    hidden: HiddenSettings = Field(default_factory=HiddenSettings)
    weigh_below_um: float = Field(
        70.0, ge=0, description="the light deficit of objects smaller than this is measured, µm"
    )
    max_diameter_um: float = Field(450.0, gt=0, description="largest spheroid collected, µm")
    min_circularity: float = Field(
        0.30, ge=0, le=1, description="rounder than this, or it is not a spheroid (fibres)"
    )
    min_views: int = Field(4, ge=1, description="whole views needed for a decision")
    max_double_share: float = Field(
        0.2, ge=0, le=1, description="share of views marked double from which a track is one"
    )
    collect_below: float | None = Field(
        None,
        ge=0,
        le=1,
        description="collect when the views' vote (0 healthy, 1 not) is below this; "
        "without it, the operating point of the bundle",
    )
    unsure_band: float = Field(
        0.0, ge=0, le=0.5, description="width above that threshold that counts as unsure"
    )
    judged_at_once: int = Field(
        2,
        ge=1,
        description="so many bodies are judged in one frame at most, and one in a late frame, "
        "those with the fewest judged views first; the others are only followed",
    )
    other_above: float = Field(
        0.5, ge=0, le=1, description="mean probability of 'other' from which it is not a spheroid"
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """Which outlet an object is meant for, and why.

    Attributes:
        outlet: an outlet's name.
        reason: why.
        p_unhealthy: the views' vote, 0 healthy to 1 not; None when no view was classified.
        p_other: mean probability of not being a spheroid; None likewise.
    """

    outlet: str
    reason: Reason
    p_unhealthy: float | None
    p_other: float | None


@dataclass(frozen=True, slots=True)
class Views:
    """What the views of one track add up to.

    Attributes:
        diameters_um: (views,) diameters of the whole views.
        circularities: (views,) circularities of the whole views.
        deficits_um2: (views,) light deficits, NaN where they were not measured.
        doubles: number of views marked double.
        cut: number of views cut off by the top or bottom edge.
        speed_um_s: speed along the flow.
        last_diameter_um: diameter when last seen, whole or not.
        probabilities: (classified views, classes), of those views that went to the network.
        explained: few views are no sign of flickering: frames were lost, a larger body hid it, or
            it was seen in each frame of a fast way through the view.
        steady: the flow kept its speed meanwhile.
        length_um: the longer side of its box, median over the whole views.
    """

    diameters_um: Sequence[float]
    circularities: Sequence[float]
    deficits_um2: Sequence[float]
    doubles: int
    cut: int
    speed_um_s: float
    last_diameter_um: float
    probabilities: NDArray[np.float32]
    explained: bool = False
    steady: bool = True
    length_um: float = 0.0


class Decider:
    """Applies size window, shape window, votes and policy. Pure; one for a run.

    Args:
        labels: class names, in the order of the probabilities' columns.
        threshold: number of views -> the bundle's operating point for so many.
        votes: how the bundle's views are to vote.
    """

    def __init__(
        self,
        settings: DecideSettings,
        outlets: OutletSettings,
        *,
        labels: Sequence[str],
        threshold: Callable[[int], float],
        votes: VoteSettings,
    ) -> None:
        self.settings = settings
        self.outlets = outlets
        self._labels = tuple(labels)
        self._threshold = threshold
        self._votes = votes

    @property
    def healthy_column(self) -> int:
        """Column of `healthy` in the probabilities."""
        return self._labels.index("healthy")

    def decide(self, views: Views) -> Decision:
        """The decision for a track that has ended."""
        count = len(views.probabilities)
        if count == 0:
            reason = self._window(views) or Reason.UNSEEN
            return Decision(self._outlet(reason), reason, None, None)
        vote = aggregate_views(not_healthy(views.probabilities, self._labels), self._votes)
        p_other = self._mean_other(views.probabilities)
        reason = self._window(views) or self._health(vote, p_other, count)
        return Decision(self._outlet(reason), reason, vote, p_other)

    def to_rest(self, decision: Decision, reason: Reason) -> Decision:
        """The same, bound for rest for another reason."""
        return replace(decision, outlet=self.outlets.rest, reason=reason)

    def _mean_other(self, probabilities: NDArray[np.float32]) -> float:
        if "other" not in self._labels:
            return 0.0
        return float(probabilities[:, self._labels.index("other")].mean())

    def _window(self, views: Views) -> Reason | None:
        """What size, shape and number of views alone decide."""
        s = self.settings
        n = len(views.diameters_um)
        compact = views.length_um <= s.speck.max_length_um
        flickers = compact and n < s.speck.min_views and not views.explained
        if flickers and views.last_diameter_um < s.weigh_below_um:
            return Reason.SPECK
        if n == 0:
            return Reason.UNSEEN
        diameter_um = median(views.diameters_um)
        if compact and self._is_small(views):
            return Reason.SPECK
        if diameter_um < s.min_diameter_um:
            return Reason.TOO_SMALL
        if 2 * views.cut > n:
            return Reason.CUT_OFF
        if n < s.min_views:
            return Reason.UNSEEN
        if views.doubles > s.max_double_share * n:
            return Reason.DOUBLE
        if diameter_um > s.max_diameter_um:
            return Reason.TOO_LARGE
        if median(views.circularities) < s.min_circularity:
            return Reason.NOT_A_SPHEROID
        if len(views.probabilities) < s.min_views:
            return Reason.UNSEEN
        return None

    def _is_small(self, views: Views) -> bool:
        """Whether its size and its light are a speck's; of few views the largest counts, as the
        middle of a few may lie far off."""
        n, speck = len(views.diameters_um), self.settings.speck
        typical = max if n < 2 * speck.min_views else median
        # Beside another body the light was not measured.
        measured = [deficit for deficit in views.deficits_um2 if math.isfinite(deficit)]
        deficit_um2 = typical(measured) if 2 * len(measured) > n else math.inf
        diameter_um = typical(views.diameters_um)
        return is_speck(diameter_um, deficit_um2, views.speed_um_s, speck, steady=views.steady)

    def _health(self, vote: float, p_other: float, views: int) -> Reason:
        own = self.settings.collect_below
        collect_below = self._threshold(views) if own is None else own
        if vote < collect_below:
            return Reason.HEALTHY
        if p_other > self.settings.other_above:
            return Reason.NOT_A_SPHEROID
        if vote < collect_below + self.settings.unsure_band:
            return Reason.UNSURE
        return Reason.UNHEALTHY

    def _outlet(self, reason: Reason) -> str:
        if reason is Reason.HEALTHY:
            return self.outlets.collect
        if reason is Reason.UNSURE:
            if self.settings.policy == "yield":
                return self.outlets.collect
            return self.outlets.recheck or self.outlets.rest
        return self.outlets.rest
