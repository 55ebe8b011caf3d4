"""A run from its settings to its end: the loop in this process, and how it stops.

The loop has a process to itself (`sorter.launch` starts it); here it is built, turned, drained and
ended. However a run ends, the flow is held first, then the gate goes to rest, and the record is
closed last.
"""

from __future__ import annotations

import gc
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from drivers.clock import MonotonicClock
from drivers.mmcore_camera import MMCoreCamera
from drivers.ports import Clock, Dispenser, Pump
from drivers.serial_link import SerialLink
from sorter.build import (
    build_controller,
    build_guarded_dispenser,
    build_pump,
    build_vision,
    load_model,
)
from sorter.controller import Controller
from sorter.errors import HardwareError, RecordError, SorterError
from sorter.faults import Fault, Response, kind_of
from sorter.guarantees import describe, guarantees_of, hold, refuse_unattended
from sorter.limits import reached
from sorter.outlets import check_outlets
from sorter.overseer import Overseer, Sources
from sorter.record import EndReason, Recorder, RunMeta
from sorter.record_rows import EventRow
from sorter.responder import Responder, Wishes
from sorter.settings import RigSettings

SWITCH_S = 2e-4
IDLE_NS = 100_000  # MMCore can't be waited on: between frames the loop looks this often
_PACKAGES = ("spheroid-sorter", "pymmcore-plus", "pymmcore", "onnxruntime-gpu", "opencv-python")


class StopRequest(Protocol):
    """Whether somebody wants the run to end."""

    def __call__(self) -> str | None:
        """Why, in a word or two; None while nobody does."""
        ...


def run_rig(
    rig: RigSettings,
    toml: str,
    stop: StopRequest,
    ready: Callable[[Recorder], None],
    wishes: Wishes = lambda: None,
) -> EndReason:
    """Sort on a rig until it is told to stop or its time is over.

    Args:
        rig: the settings.
        toml: the settings file's text, kept in the record.
        stop: asked once a turn.
        ready: called with the recorder when everything answers, before the camera starts.
        wishes: what the operator wants meanwhile; asked once a turn.

    Raises:
        SorterError: what couldn't be opened, or what faulted; flow held, gate at rest.
    """
    refuse_unattended(guarantees_of(rig), rig.run.unattended)
    clock = MonotonicClock()
    bundle, classifier = load_model(rig)
    vision = build_vision(rig, bundle, classifier)
    with ExitStack() as opened:
        camera = MMCoreCamera(rig.camera, clock)
        opened.callback(camera.close)
        dispenser = build_guarded_dispenser(rig, lambda: SerialLink(rig.port), clock)
        opened.callback(dispenser.close)
        check_outlets(rig.outlets, dispenser.connect())
        # Told now rather than when all is built: a button that is pressed.
        dispenser.arm()
        pump = build_pump(rig, dispenser, clock)
        opened.enter_context(_held_at_both_ends(pump, clock))
        meta = run_meta(rig, toml, bundle.manifest.model_dump(mode="json"), clock.now_ns())
        path = rig.record.folder / f"{meta.run_id}.sqlite"
        recorder = Recorder.start(path, meta, rig.record)
        crop_um = bundle.manifest.pitch_um
        free_mb = partial(_free_mb, path)
        sources = Sources(vision.light, free_mb, _clock_bound(dispenser), crop_um)
        overseer = Overseer(rig.watch, rig.faults, rig.track.channel, sources, clock.now_ns())
        controller = build_controller(
            rig,
            clock=clock,
            camera=camera,
            dispenser=dispenser,
            vision=vision,
            bundle=bundle,
            record=recorder,
            pump=pump,
            oversight=overseer,
        )
        for line in describe(dispenser.guarantees()):
            recorder.event(EventRow(clock.now_ns(), "warning", "not_guaranteed", line))
        ready(recorder)
        run = _Run(controller, recorder, rig, clock, dispenser, pump)
        responder = Responder(controller, overseer, rig.recovery, pump, wishes)
        return _turn_and_end(run, stop, responder)


@dataclass(frozen=True, slots=True)
class _Run:
    """What is needed to end a run, however it ends."""

    controller: Controller
    recorder: Recorder
    rig: RigSettings
    clock: Clock
    dispenser: Dispenser
    pump: Pump | None


@contextmanager
def _held_at_both_ends(pump: Pump | None, clock: Clock) -> Iterator[None]:
    """Hold the pump before anything starts, and close it, held, in the end.

    Raises `PumpError` when it does not confirm the hold, unless something else went wrong before.
    """
    if pump is None:
        yield
        return
    try:
        pump.hold(clock.now_ns())
        yield
    except BaseException:
        with suppress(HardwareError):
            pump.close()
        raise
    pump.close()


def _clock_bound(dispenser: Dispenser) -> Callable[[int], int]:
    """What the overseer watches; of a dispenser without a clock the bound is a setting."""
    return dispenser.clock_bound_us if dispenser.guarantees().device_clock else lambda _: 0


def _free_mb(record: Path) -> float:
    """Room on the disk of the record."""
    return shutil.disk_usage(record.parent).free / 1e6


def run_meta(rig: RigSettings, toml: str, manifest: dict[str, object], origin_ns: int) -> RunMeta:
    """What the record says of the run as a whole."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except ModuleNotFoundError:
            continue
    return RunMeta.now(
        origin_ns=origin_ns,
        versions=versions,
        settings_toml=toml,
        model_hash=str(manifest["sha256"]),
        bundle_manifest=manifest,
        seed=rig.run.seed,
        note=rig.run.note,
    )


def _turn_and_end(run: _Run, stop: StopRequest, responder: Responder) -> EndReason:
    """Turn the loop; whatever happens, flow held, gate to rest and the record ended."""
    try:
        with _undisturbed():
            reason = turn(run.controller, run.rig, run.clock, stop, responder)
    except Exception as error:
        _hold_and_rest_quietly(run.dispenser, run.pump, run.clock)
        _end_faulted(run.controller, run.recorder, run.clock, error)
        raise
    run.recorder.finish(reason, 0 if reason == "done" else 130)
    return reason


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the interpreter's own pauses away from the loop.

    A full garbage collection holds it for tens of ms, and what lives now lives for the run. A
    Python camera's thread may keep the interpreter for as long as the switch interval, 5 ms
    otherwise.
    """
    interval_s = sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(interval_s)
        gc.enable()
        gc.unfreeze()


def turn(
    controller: Controller,
    rig: RigSettings,
    clock: Clock,
    stop: StopRequest,
    responder: Responder | None = None,
) -> EndReason:
    """Step until the end of the run; drain and stop.

    Raises `RunFault` for a fault that stops the run, and what `Controller.step` raises.
    """
    controller.start(clock.now_ns())
    started_ns = clock.now_ns()  # a camera takes its time to start
    until_ns = None if rig.run.duration_s is None else started_ns + int(rig.run.duration_s * 1e9)
    reason: EndReason = "done"
    drained_by_ns: int | None = None
    while True:
        now_ns = clock.now_ns()
        if not controller.step(now_ns):
            clock.wait_until(now_ns + IDLE_NS)
        if responder is not None:
            responder.step(now_ns)
        if drained_by_ns is not None:
            if controller.is_drained() or now_ns > drained_by_ns:
                break
            continue
        asked = stop()
        over = _over(controller, rig, now_ns, until_ns)
        if asked or over:
            reason = "interrupted" if asked else "done"
            by, why = ("operator", asked) if asked else over or ("run", "")
            controller.drain(now_ns, why, by)
            drained_by_ns = now_ns + int(rig.run.drain_s * 1e9)
    controller.stop_camera()
    while controller.step(clock.now_ns()):
        pass  # a frame that has arrived counts, though nothing in it is new
    controller.stop(clock.now_ns())
    return reason


def _over(
    controller: Controller, rig: RigSettings, now_ns: int, until_ns: int | None
) -> tuple[str, str] | None:
    """What ends the run now, and in words; None while nothing does."""
    if until_ns is not None and now_ns >= until_ns:
        return "run", "time is over"
    if not rig.limits.present:
        return None
    limit = reached(controller.progress(now_ns), rig.limits)
    return limit and (f"limit:{limit[0]}", limit[1])


def _hold_and_rest_quietly(dispenser: Dispenser, pump: Pump | None, clock: Clock) -> None:
    """After a fault; when the link is the fault, the firmware's watchdog does it."""
    with suppress(SorterError):
        if pump is None:
            hold(dispenser, clock.now_ns())
        else:
            pump.hold(clock.now_ns())
    with suppress(SorterError):
        dispenser.rest(clock.now_ns())


def _end_faulted(
    controller: Controller, recorder: Recorder, clock: Clock, error: Exception
) -> None:
    """End the record with the fault; the fault itself matters more than one in doing so."""
    code = error.exit_code if isinstance(error, SorterError) else 4
    now_ns, kind = clock.now_ns(), kind_of(error)
    try:
        if kind is not None:
            what = error.what if isinstance(error, SorterError) else str(error)
            controller.note(Fault(kind, now_ns, what), Response.STOP)
        controller.fault(now_ns, str(error), by=f"fault:{kind.value}" if kind else "run")
        recorder.finish("fault", code)
    except RecordError:
        return
