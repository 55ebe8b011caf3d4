"""Settings to wired parts. The only place where parts are chosen."""

from __future__ import annotations

from collections.abc import Callable

import cv2

from drivers.dispenser import SerialDispenser
from drivers.link_guard import LinkGuard, Loss
from drivers.ports import Camera, Clock, Dispenser, Link, Pump
from drivers.pump_output import DevicePump
from drivers.serial_link import SerialLink, SerialLinkSettings
from drivers.text_valve import TextValve, TextValveSettings
from models.bundle import Bundle, load_bundle
from models.infer import Classifier
from sorter.controller import Controller
from sorter.crop import CropSettings
from sorter.decide import Decider
from sorter.errors import BundleError
from sorter.faults import FaultKind, Response
from sorter.journal import Journal, JournalledDispenser, JournalledVision
from sorter.liquid import Liquid
from sorter.oversight import Oversight
from sorter.pipeline import Pipeline, PixelVision, Vision
from sorter.priming import Priming
from sorter.pumps import make_pump
from sorter.record_sink import RecordSink
from sorter.schedule import Scheduler
from sorter.segment import Segmenter
from sorter.settings import RigSettings
from sorter.tracker import Tracker
from sorter.view import ViewGeometry
from sorter.warm_up import warm_up_ways
from sorter.whereabouts import Whereabouts

BRIEF_CONNECT_MS = 400


def load_model(rig: RigSettings) -> tuple[Bundle, Classifier]:
    """The bundle, checked, and its network, warmed up. Raises `BundleError`, `HardwareError`."""
    bundle = load_bundle(rig.model.bundle)
    own_um, camera_um = bundle.manifest.pitch_um, rig.camera.pitch_um
    if camera_um > own_um:
        raise BundleError(
            f"the camera shows {camera_um:g} µm/px, coarser than the {own_um:g} µm/px that the "
            "model was trained at",
            on=bundle.path,
            do="Use a lens with more magnification, or train a bundle at the camera's µm/px",
        )
    classifier = Classifier(bundle, rig.model.infer)
    classifier.warm_up()
    return bundle, classifier


def build_dispenser(rig: RigSettings, link: Link, clock: Clock) -> Dispenser:
    """The dispenser that the settings choose, not yet connected."""
    chosen = rig.dispenser
    if isinstance(chosen, TextValveSettings):
        return TextValve(link, clock, chosen, baud=rig.port.baud)
    return SerialDispenser(link, clock, chosen)


def build_guarded_dispenser(
    rig: RigSettings, open_link: Callable[[], Link], clock: Clock
) -> Dispenser:
    """The same on a port that is opened here, and again where ``[faults]`` has a loss waited for.

    Raises `LinkError`: the port can't be opened.
    """
    first = build_dispenser(rig, open_link(), clock)
    losses: tuple[Loss, ...] = ("link_lost", "device_reset")
    holds = [loss for loss in losses if rig.faults.response_to(FaultKind(loss)) is Response.HOLD]
    chosen = rig.dispenser
    if not holds or isinstance(chosen, TextValveSettings):
        return first
    # The loop is held up while it tries, and the camera's queue fills.
    brief = chosen.model_copy(update={"connect_ms": min(chosen.connect_ms, BRIEF_CONNECT_MS)})
    return LinkGuard(first, lambda: SerialDispenser(open_link(), clock, brief), holds)


def build_pump(
    rig: RigSettings,
    dispenser: Dispenser,
    clock: Clock,
    open_link: Callable[[SerialLinkSettings], Link] = SerialLink,
) -> Pump | None:
    """The pump that the settings choose, with the dispenser's pump-hold output where it has one.

    None where there is neither, and nothing holds the flow. Raises `LinkError`, `PumpError`.
    """
    has_output = isinstance(_present(dispenser), SerialDispenser)
    output = DevicePump(dispenser, clock, lambda: _is_held(dispenser)) if has_output else None
    return make_pump(rig.pump, output, open_link, clock)


def _present(dispenser: Dispenser) -> Dispenser:
    return dispenser.present if isinstance(dispenser, LinkGuard) else dispenser


def _is_held(dispenser: Dispenser) -> bool | None:
    """What the device last said of its output; None where it has none."""
    present = _present(dispenser)
    return present.held if isinstance(present, SerialDispenser) else None


def build_vision(rig: RigSettings, bundle: Bundle, classifier: Classifier) -> PixelVision:
    """Detection and classification from pixels."""
    # One thread: OpenCV's pool would spin on the cores that camera and recorder need.
    cv2.setNumThreads(1)
    camera, manifest = rig.camera, bundle.manifest
    segmenter = Segmenter(
        rig.segment,
        pitch_um=camera.pitch_um,
        shape=(camera.height_px, camera.width_px),
        bit_depth=camera.bit_depth,
    )
    crops = CropSettings(
        size_px=manifest.size_px, pitch_um=manifest.pitch_um, level=manifest.background_level
    )
    return PixelVision(
        segmenter,
        classifier,
        crops,
        pitch_um=camera.pitch_um,
        settings=rig.decide,
    )


def build_pipeline(rig: RigSettings, bundle: Bundle, vision: Vision) -> Pipeline:
    """Detections to decided objects."""
    warm_up_ways()
    manifest = bundle.manifest
    decider = Decider(
        rig.decide,
        rig.outlets,
        labels=manifest.labels,
        threshold=lambda views: bundle.operating_point(views).threshold,
        votes=manifest.votes,
    )
    tracker = Tracker(rig.track, pitch_um=rig.camera.pitch_um, width_px=rig.camera.width_px)
    view = _view(rig)
    return Pipeline(
        vision,
        tracker,
        decider,
        junction_um=view.junction_um,
        frame_period_ns=view.frame_period_ns,
    )


def build_controller(
    rig: RigSettings,
    *,
    clock: Clock,
    camera: Camera,
    dispenser: Dispenser,
    vision: Vision,
    bundle: Bundle,
    record: RecordSink,
    pump: Pump | None = None,
    oversight: Oversight | None = None,
) -> Controller:
    """The loop over the given camera, dispenser and vision."""
    journal = Journal()
    noted = JournalledDispenser(dispenser, journal)
    liquid, view = Liquid(rig.liquid, rig.junction.jitter_ns), _view(rig)
    scheduler = Scheduler(
        rig.schedule,
        rig.junction,
        rig.outlets,
        liquid,
        noted,
        policy=rig.decide.policy,
        shadow=rig.run.shadow,
    )
    return Controller(
        clock=clock,
        camera=camera,
        dispenser=noted,
        pipeline=build_pipeline(rig, bundle, JournalledVision(vision, journal)),
        scheduler=scheduler,
        liquid=liquid,
        view=view,
        record=record,
        journal=journal,
        priming=_build_priming(rig, view),
        pump=pump,
        oversight=oversight,
        whereabouts=_build_whereabouts(rig, noted, liquid, scheduler),
    )


def _build_priming(rig: RigSettings, view: ViewGeometry) -> Priming:
    return Priming(
        view,
        int(rig.run.prime_s * 1e9),
        settles_ns=int(rig.liquid.settles_ms * 1e6),
        empty=rig.run.channel_empty,
    )


def _build_whereabouts(
    rig: RigSettings, dispenser: Dispenser, liquid: Liquid, scheduler: Scheduler
) -> Whereabouts | None:
    """The junction's watch; None where its outlets have no optical gates."""
    if not rig.optical_gates.present:
        return None
    return Whereabouts(
        rig.optical_gates,
        rig.outlets,
        dispenser.to_host_ns,
        lambda host_ns: liquid.at(host_ns, scheduler.openings),
    )


def _view(rig: RigSettings) -> ViewGeometry:
    width_um = rig.camera.width_px * rig.camera.pitch_um
    return ViewGeometry(
        width_um=width_um,
        junction_um=width_um + rig.junction.distance_um,
        min_speed_um_s=rig.track.min_speed_um_s,
        max_speed_um_s=rig.track.max_speed_um_s,
        frame_period_ns=int(1e9 / rig.camera.frame_rate_hz),
    )
