"""One frame in, decided objects out. No threads, no I/O, no clock.

The two things that cost time and depend on pixels, detection and classification, are behind the
small protocol `Vision`; everything after them is arithmetic on a few numbers, which is what lets a
recorded run be replayed exactly (see `sorter.journal`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.ports import Frame
from models.infer import Classifier
from sorter.attention import Attention, Divided
from sorter.crop import Cropper, CropSettings
from sorter.decide import Decider, DecideSettings, Decision, Reason, Views
from sorter.detection import Detection
from sorter.hidden import hides_body
from sorter.lateness import InTime, Lateness
from sorter.segment import Segmenter
from sorter.spare_time import SpareTime
from sorter.speck import deficit_um2, stands_alone
from sorter.track import Arrival, Track
from sorter.tracker import Tracker

# Views in a row in which a body needn't be judged while frames wait: two that come at once are done
# with before it is.
_PASSED_OVER = 2
_LEARNING_NS = 1_500_000  # what `Tracker.learn` takes; a frame that came meanwhile would wait


class Vision(Protocol):
    """What is taken from pixels."""

    def detect(self, frame: Frame, attention: Attention) -> Sequence[Detection]:
        """All objects in a frame; see `Finder.find`."""
        ...

    def classify(
        self, frame: Frame, detections: Sequence[Detection]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """(n, classes) probabilities and (n, size, size) crops of detections in that frame."""
        ...

    def hides_body(self, crops: Sequence[NDArray[np.uint8]], diameter_um: float) -> bool:
        """Whether the crops of one spheroid show another body that travels with it."""
        ...

    def settle(self) -> None:
        """Work on the last frame that could wait until its objects were dealt with."""
        ...


class PixelVision:
    """The real thing: OpenCV and ONNX Runtime.

    Args:
        segmenter: finds objects; keeps the background.
        classifier: judges crops.
        crop_settings: size and pitch of the crops that the classifier takes.
        pitch_um: µm per pixel of the frames.
        settings: which objects have their light deficit measured, and what a hidden body is.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        classifier: Classifier,
        crop_settings: CropSettings,
        *,
        pitch_um: float,
        settings: DecideSettings,
    ) -> None:
        self._settings = settings
        self._weigh_below_um = settings.weigh_below_um
        self._crop_pitch_um = crop_settings.pitch_um
        self._segmenter = segmenter
        self._classifier = classifier
        self._cropper = Cropper(segmenter.background, crop_settings, pitch_um=pitch_um)
        self._pitch_um = pitch_um

    def detect(self, frame: Frame, attention: Attention) -> Sequence[Detection]:
        """All objects in a frame; the background learns from it."""
        found = self._segmenter.detect(frame.pixels, attention)
        return [self._weigh(frame, d, found) if self._is_weighed(d) else d for d in found]

    def hides_body(self, crops: Sequence[NDArray[np.uint8]], diameter_um: float) -> bool:
        """See `sorter.hidden`."""
        settings = self._settings.hidden
        return hides_body(crops, diameter_um, self._crop_pitch_um, settings)

    def settle(self) -> None:
        """Let the background learn from the last frame."""
        self._segmenter.settle()
        self._cropper.prepare(self._segmenter.shape)

    def light(self) -> float | None:
        """Mean of the background over full scale; None before the first frame."""
        return self._segmenter.light()

    def _is_weighed(self, detection: Detection) -> bool:
        return detection.diameter_um < self._weigh_below_um and not detection.glimpsed

    def _weigh(self, frame: Frame, detection: Detection, found: Sequence[Detection]) -> Detection:
        if not stands_alone(detection, found):
            return detection
        deficit = deficit_um2(frame.pixels, detection, pitch_um=self._pitch_um)
        return replace(detection, deficit_um2=deficit)

    def classify(
        self, frame: Frame, detections: Sequence[Detection]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Crops at the model's µm/px, and what the network says of them."""
        crops = self._cropper.cut(self._segmenter.pyramid.of(frame.pixels), detections)
        return self._classifier.predict(crops).probabilities, crops


@dataclass(slots=True)
class TrackViews:
    """The views of one track while it is in the frame."""

    diameters_um: list[float] = field(default_factory=list)
    lengths_px: list[int] = field(default_factory=list)
    circularities: list[float] = field(default_factory=list)
    solidities: list[float] = field(default_factory=list)
    grey_ratios: list[float] = field(default_factory=list)
    deficits_um2: list[float] = field(default_factory=list)
    doubles: int = 0
    splits: int = 0
    cut: int = 0
    passed_over: int = 0
    probabilities: list[NDArray[np.float32]] = field(default_factory=list)
    crops: list[NDArray[np.uint8]] = field(default_factory=list)

    def see(self, detection: Detection) -> None:
        """Count one whole view."""
        self.diameters_um.append(detection.diameter_um)
        self.lengths_px.append(max(detection.bbox[2:]))
        self.circularities.append(detection.circularity)
        self.solidities.append(detection.solidity)
        self.grey_ratios.append(detection.grey_ratio)
        self.deficits_um2.append(detection.deficit_um2)
        self.doubles += detection.double
        self.splits += detection.split
        self.cut += detection.touches_border

    @property
    def can_wait(self) -> bool:
        """Whether it was judged lately, and often enough not to be judged in this frame: at first
        always, then every second time, then every third."""
        return self.passed_over < min(_PASSED_OVER, len(self.probabilities) // 2)

    def stacked(self) -> NDArray[np.float32]:
        """(classified views, classes) probabilities."""
        if not self.probabilities:
            return np.empty((0, 0), np.float32)
        return np.concatenate(self.probabilities).reshape(len(self.probabilities), -1)


@dataclass(frozen=True, slots=True)
class DecidedObject:
    """A track that has ended, with its decision; `probabilities` is what its views add up to
    (classified views, classes)."""

    track: Track
    views: TrackViews
    probabilities: NDArray[np.float32]
    arrival: Arrival | None
    decision: Decision
    healthy_column: int


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """What one frame led to.

    Attributes:
        n_objects: detections in the frame.
        n_judged: views that went to the network.
        in_view: tracks that are followed and not decided yet.
        decided: objects decided with this frame.
    """

    n_objects: int
    n_judged: int
    in_view: list[Track]
    decided: list[DecidedObject]


class Pipeline:
    """Detections to tracks to votes to decisions.

    Args:
        vision: where detections and probabilities come from.
        tracker: follows bodies.
        decider: decides on the views of a track.
        junction_um: distance of the junction from the left edge of the frame.
        min_sightings: a track with fewer is noise and forgotten.
        frame_period_ns: from one exposure to the next, see `SpareTime`.
    """

    def __init__(
        self,
        vision: Vision,
        tracker: Tracker,
        decider: Decider,
        *,
        junction_um: float,
        min_sightings: int = 2,
        frame_period_ns: int = 0,
    ) -> None:
        self._vision = vision
        self._tracker = tracker
        self._decider = decider
        self._junction_um = junction_um
        self._min_sightings = min_sightings
        self._spare_time = SpareTime(frame_period_ns)
        # Far outside the size window nothing needs to be judged.
        self._least_um = 0.7 * decider.settings.min_diameter_um
        self._most_um = 1.3 * decider.settings.max_diameter_um
        self._views: dict[int, TrackViews] = {}
        self._ended: list[Track] = []

    def process(
        self,
        frame: Frame,
        liquid_ns: float,
        unrest_ns: float = 0.0,
        lateness: Lateness | None = None,
    ) -> PipelineResult:
        """Take one frame.

        Args:
            frame: the frame.
            liquid_ns: its exposure in liquid time (`sorter.liquid`).
            unrest_ns: how far off that may be.
            lateness: of this frame; where it is late those that are known are only glimpsed
                (`sorter.attention`), and one at most is judged (`TrackViews.can_wait`). None:
                never.
        """
        lateness = lateness or InTime()
        self._spare_time.took(frame)
        expected = partial(self._tracker.expected, liquid_ns)
        attention = Divided(lateness, expected, self._tracker.pitch_um)
        detections = self._vision.detect(frame, attention)
        seen, ended = self._tracker.update(
            detections,
            frame=frame.number,
            exposed_ns=frame.exposed_ns,
            exposed_error_ns=frame.exposed_error_ns,
            liquid_ns=liquid_ns,
            unrest_ns=unrest_ns,
        )
        self._ended = ended  # so that they are not lost where the network fails
        n_judged = self._look(frame, seen, lateness)
        in_view = [
            track
            for track in self._tracker.tracks
            if not track.ended and len(track.sightings) >= self._min_sightings
        ]
        decided = self._decide(ended)
        self._ended = []
        return PipelineResult(len(detections), n_judged, in_view, decided)

    def steady_from(self, exposed_ns: int) -> None:
        """Bodies that were seen before this host time may have been slower than they are now."""
        self._tracker.steady_from_ns = exposed_ns

    def doubt_times(self, number: int) -> None:
        """The camera's times around a frame are wrong."""
        self._tracker.doubt(number)

    def arrival(self, track: Track) -> Arrival | None:
        """When a track's body reaches the junction, as far as it is known now."""
        return self._tracker.arrival(track, self._junction_um)

    def learn(self, now_ns: int) -> bool:
        """Do the work that can wait for a moment without frames; True: it was worth noting."""
        self._vision.settle()
        if self._tracker.learn(at_leisure=self._spare_time.lasts(now_ns, _LEARNING_NS)):
            return True
        self._tracker.foresee(self._junction_um)
        return False

    def drain(self) -> list[DecidedObject]:
        """Decide what is still in view or was not decided for a failure, for the end of a run."""
        ended, self._ended = self._ended, []
        return self._decide([*ended, *self._tracker.drain()], look=False)

    def _look(
        self,
        frame: Frame,
        seen: Sequence[tuple[Track, Detection]],
        lateness: Lateness,
    ) -> int:
        """Count the views, and ask the network about those that it can judge."""
        fit: list[tuple[TrackViews, Detection]] = []
        for track, detection in seen:
            views = self._views.get(track.id)
            if views is None:
                views = self._views[track.id] = TrackViews()
            views.see(detection)
            if self._can_judge(detection):
                fit.append((views, detection))
        judged = self._whose_turn(fit, lateness)
        if not judged:
            return 0
        probabilities, crops = self._vision.classify(frame, [d for _, d in judged])
        for (views, _), p, image in zip(judged, probabilities, crops, strict=True):
            views.probabilities.append(p)
            views.crops.append(image)
        return len(judged)

    def _whose_turn(
        self, fit: list[tuple[TrackViews, Detection]], lateness: Lateness
    ) -> list[tuple[TrackViews, Detection]]:
        """Those that are judged in this frame: the ones with the fewest judged views so far."""
        chosen, most = fit, self._decider.settings.judged_at_once
        if fit and lateness.is_crowded():
            chosen, most = [one for one in fit if not one[0].can_wait], 1
        if len(chosen) > most:
            chosen = sorted(chosen, key=lambda one: len(one[0].probabilities))[:most]
        judged = {id(views) for views, _ in chosen}
        for views, _ in fit:
            views.passed_over = 0 if id(views) in judged else views.passed_over + 1
        return chosen

    def _can_judge(self, detection: Detection) -> bool:
        """Whole, single, and not far outside the size window: the rest is decided without."""
        return (
            not detection.touches_border
            and not detection.double
            and self._least_um <= detection.diameter_um <= self._most_um
        )

    def _decide(self, ended: Sequence[Track], *, look: bool = True) -> list[DecidedObject]:
        """Decisions on tracks; `look`: whether another body hides in one that would be collected.

        What a run's end cuts short goes to rest in any case.
        """
        decided: list[DecidedObject] = []
        for track in ended:
            views = self._views.pop(track.id, None) or TrackViews()
            if len(track.sightings) < self._min_sightings:
                continue
            probabilities = views.stacked()
            decision = self._decider.decide(
                Views(
                    views.diameters_um,
                    views.circularities,
                    views.deficits_um2,
                    views.doubles,
                    views.cut,
                    track.speed_um_s if track.n else 0.0,
                    track.last.diameter_um,
                    probabilities,
                    self._few_views_explained(track),
                    self._tracker.saw_steady_flow(track),
                    median(views.lengths_px or [0]) * self._tracker.pitch_um,
                )
            )
            if self._is_hardly_known(track) and decision.outlet == self._decider.outlets.collect:
                decision = self._decider.to_rest(decision, Reason.UNSEEN)
            if look and self._hides_body(decision, views):
                decision = self._decider.to_rest(decision, Reason.HIDDEN)
            arrival = self._tracker.arrival(
                track,
                self._junction_um,
                ended=decision.reason is not Reason.SPECK,
                may_hide=decision.outlet != self._decider.outlets.collect,
            )
            column = self._decider.healthy_column
            decided.append(DecidedObject(track, views, probabilities, arrival, decision, column))
        return decided

    def _is_hardly_known(self, track: Track) -> bool:
        """Whether there was no time to outline it often enough."""
        return track.glimpses > 0 and track.n < self._tracker.settings.short_views

    def _few_views_explained(self, track: Track) -> bool:
        """Whether it had views enough, or would have had them, had no frames been lost, or been
        late, nobody hidden it, and the liquid not carried it away."""
        if track.n + track.veiled >= self._decider.settings.speck.min_views or track.glimpses:
            return True
        return self._tracker.lost_views(track) or self._tracker.seen_throughout(track)

    def _hides_body(self, decision: Decision, views: TrackViews) -> bool:
        """Whether an object that would be collected has another body with it."""
        if decision.outlet != self._decider.outlets.collect:
            return False
        return self._vision.hides_body(views.crops, median(views.diameters_um))
