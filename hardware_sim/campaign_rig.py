"""One rig of a campaign: a stretch of virtual time in which runs begin, meet faults, and end.

Bodies flow on from run to run. Between runs the operator's part is played: the fault is noted, the
gate is at rest by the firmware's watchdog, the port is opened anew, a new session and a new run
begin. Everything follows from one seed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from drivers.dispenser import DispenserSettings
from hardware_sim.campaign_device import (
    Arrived,
    CampaignBoard,
    CampaignLink,
    MakeCore,
    PortGone,
)
from hardware_sim.campaign_log import RigLog, RunLog
from hardware_sim.campaign_parts import (
    CampaignRecord,
    CampaignVision,
    Deadlocked,
    Killed,
    NotedDispenser,
    PixelEyes,
    RigClock,
)
from hardware_sim.campaign_plan import RunPlan, draw_run
from hardware_sim.campaign_scene import pixel_rig_of_seed, rig_of_seed
from hardware_sim.detections import DetectionVision
from hardware_sim.fault_acts import KINDS, NetworkFailed, Pieces
from hardware_sim.faults import Fault, Injector, Kind, Place
from hardware_sim.gate_log import GateEdge
from hardware_sim.light_camera import (
    FrameSource,
    LightCamera,
    LightStage,
    PixelStage,
    RawFrame,
)
from hardware_sim.truth_log import BodyTruth
from hardware_sim.virtual_link import VirtualDispenser
from models.bundle import Bundle
from models.infer import Classifier
from sorter.build import build_controller, build_pump, build_vision
from sorter.controller import Controller
from sorter.errors import LinkError, RecordError, SorterError
from sorter.guarantees import hold
from sorter.life import RunState
from sorter.runner import turn

START_NS = 1_000_000_000
_REOPEN_NS = 20_000_000
_LAST_NS = 3_000_000_000
# What waits there for the run that ends has waited in vain; the wire goes on.
_OF_A_RUN: tuple[Place, ...] = (
    "ack", "report", "receipt", "frame", "inference", "record", "pump",
)  # fmt: skip
_RUN_AT_MOST_NS = 60_000_000_000
_STATES = {
    RunState.IDLE: "connecting",  # the dispenser is armed, the camera started
    RunState.READY: "connecting",
    RunState.STOPPED: "ending",
    RunState.FAULTED: "ending",
}


class Truths:
    """A `TruthSink` in memory."""

    def __init__(self) -> None:
        self.bodies: list[BodyTruth] = []

    def write(self, truth: BodyTruth) -> None:
        """One body."""
        self.bodies.append(truth)

    def end(self, **counts: int) -> None:
        """No more will come."""


class _Operator:
    """Asked once a turn whether the run is to end; pauses it and lets it go on as planned."""

    def __init__(self, plan: RunPlan, controller: Controller, clock: RigClock) -> None:
        began_ns = clock.time_ns
        self._wishes = [(began_ns + at_ns, state) for at_ns, state in plan.wishes]
        self._controller = controller
        self._clock = clock

    def __call__(self) -> str | None:
        while self._wishes and self._wishes[0][0] <= self._clock.time_ns:
            self._controller.ask(self._wishes.pop(0)[1], "operator", "as planned")
        return None


class CampaignRig:
    """A rig and its operator.

    Args:
        seed: of everything.
        faults: so many are drawn at least.
        bundle: whose operating point is used, and whose network where there are pixels.
        make_core: the firmware.
        pixels: bodies are rendered, found and judged as on a real rig; otherwise drawn from what
            that was measured to give.
    """

    def __init__(
        self,
        seed: int,
        faults: int,
        bundle: Bundle,
        make_core: MakeCore | None = None,
        *,
        pixels: bool = False,
    ) -> None:
        self._seed = seed
        self._wanted = faults
        self._bundle = bundle
        self._random = Random(f"campaign {seed}")
        self.scene = pixel_rig_of_seed(seed) if pixels else rig_of_seed(seed)
        self._clock = RigClock(START_NS, self._wakes, self.scene.idle_ns)
        self._state: Callable[[], str] = lambda: "off"
        self._injector = Injector(KINDS, lambda: self._state(), self._act)
        board_arguments = [make_core] if make_core else []
        self._board = CampaignBoard(
            self.scene.device,
            START_NS,
            self._to_device,
            self._from_device,
            self._on_hold,
            *board_arguments,
        )
        self._device = VirtualDispenser(self.scene.device, self._clock, self._board)
        self._truths = Truths()
        stage: LightStage | PixelStage
        if pixels:
            stage = PixelStage(self.scene.scene, START_NS, truth=self._truths)
        else:
            stage = LightStage(self.scene.scene, self._truths, START_NS)
        self._source = FrameSource(stage, START_NS, lambda: self._device.edges, self._on_frame)
        self._stage = stage
        self._port = PortGone()
        self.log = RigLog(seed, self.scene, held_up=self._clock.held_up)
        self._clock.meet(self._injector)

    # -- the operator -------------------------------------------------------------------------

    def run(self) -> RigLog:
        """All runs, until enough faults were drawn; then nobody speaks for a while."""
        clock, log = self._clock, self.log
        number = 0
        while self._injector.drawn < self._wanted:
            self._await_port()
            plan = draw_run(
                self._random,
                self._injector,
                clock.time_ns,
                self.scene.blind_s,
                first=not number,
            )
            self._run(number, plan)
            number += 1
            self._injector.give_up(_OF_A_RUN)
            self._let_pass(plan.pause_ns)
        self._injector.close()
        self._fall_silent()
        self._stage.end()
        log.edges = [GateEdge(*edge) for edge in self._device.gate_edges]
        log.truth, log.stays = self._truths.bodies, self._board.stays
        log.flows, log.met, log.said = self._board.flows, self._board.met, self._board.said
        log.faults, log.ended_ns = self._injector.log, clock.time_ns
        return log

    def _await_port(self) -> None:
        """The operator plugs it in again, mostly before trying."""
        away_ns = self._port.back_ns - self._clock.time_ns
        if away_ns > 0 and self._random.random() < 0.8:
            self._let_pass(away_ns)

    def _fall_silent(self) -> None:
        """Let time pass until the device has heard nothing for a while.

        Lines that the wire held up still reach it when whoever wrote them is gone, and it can't
        tell.
        """
        until_ns = self._clock.time_ns + _LAST_NS
        while self._clock.time_ns < until_ns:
            self._let_pass(until_ns - self._clock.time_ns)
            heard = (met.at_ns for met in self._board.met if isinstance(met, Arrived))
            until_ns = max(heard, default=0) + _LAST_NS

    def _let_pass(self, for_ns: int) -> None:
        """Nobody runs anything; the device is on, and bodies flow."""
        self._clock.pass_to(self._clock.time_ns + for_ns)
        self._device.advance(self._clock.time_ns)
        self._source.let_flow(self._clock.time_ns)

    def _run(self, number: int, plan: RunPlan) -> None:
        clock = self._clock
        clock.ends_by_ns = clock.time_ns + _RUN_AT_MOST_NS + plan.length_ns
        rig = self.scene.rig
        rig = rig.model_copy(
            update={
                "run": rig.run.model_copy(
                    update={"duration_s": plan.length_ns / 1e9, "channel_empty": number == 0}
                )
            }
        )
        record = CampaignRecord(self._injector, clock)
        camera = LightCamera(self._source, rig.camera, clock)
        if isinstance(self._stage, LightStage):
            vision: DetectionVision | PixelEyes = DetectionVision(
                camera.seen_in,
                pitch_um=rig.camera.pitch_um,
                width_px=rig.camera.width_px,
                height_px=rig.camera.height_px,
                weigh_below_um=rig.decide.weigh_below_um,
                seed=self._seed,
                run=number,
            )
        else:
            vision = PixelEyes(build_vision(rig, self._bundle, Classifier(self._bundle)))
        nonce = 1 + self._random.getrandbits(32) % 0xFFFFFFFF
        run = RunLog(number, nonce, clock.time_ns, plan, record, camera, vision)
        self.log.runs.append(run)
        try:
            self._turn(run, rig)
        except Killed:
            run.ended = "killed"
        except Deadlocked as stuck:
            run.ended, run.error = "deadlock", str(stuck)
        clock.ends_by_ns = Injector.NEVER
        clock.revive()
        self._state = lambda: "off"
        self._source.disarm(clock.time_ns)
        run.ended_ns = clock.time_ns
        self._device.advance(clock.time_ns)

    def _turn(self, run: RunLog, rig: Any) -> None:
        """What `sorter.runner` does, with these parts."""
        clock = self._clock
        self._state = lambda: "connecting"
        nonces = Random(run.nonce)
        try:
            link = CampaignLink(self._device, self._port, clock.now_ns)
        except LinkError as error:
            run.ended, run.error = "LinkError", str(error)
            self._let_pass(_REOPEN_NS)
            return
        run.wrote = link.wrote
        settings: DispenserSettings = rig.dispenser
        dispenser = NotedDispenser(
            link,
            clock,
            settings,
            draw_session=lambda: 1 + nonces.getrandbits(32) % 0xFFFFFFFF,
            true_us=self._device.device_us,
        )
        run.dispenser = dispenser
        controller: Controller | None = None
        try:
            dispenser.connect()
            dispenser.arm()
            controller = self._controller(run, rig, dispenser)
            turn(controller, rig, clock, _Operator(run.plan, controller, clock))
            run.ended = "stopped"
        except Exception as error:
            known = isinstance(error, (SorterError, NetworkFailed))
            run.ended = type(error).__name__ if known else "crash"
            run.error = f"{type(error).__name__}: {error}"
            self._fault(run, dispenser, controller)
        try:
            dispenser.close()
        except Exception as error:  # it is to bear whatever the device says
            run.ended, run.error = (
                "crash",
                f"closing the dispenser, {type(error).__name__}: {error}",
            )

    def _fault(self, run: RunLog, dispenser: NotedDispenser, controller: Controller | None) -> None:
        """What `sorter.runner` does after a fault: hold, rest, then end the record."""
        if controller is None:
            return
        with suppress(SorterError):  # otherwise the firmware's watchdog does it
            hold(dispenser, self._clock.now_ns())
            dispenser.rest(self._clock.now_ns())
        try:
            with suppress(RecordError):  # it may be the record that failed
                controller.fault(self._clock.now_ns(), run.error)
        except Exception as error:
            run.error = f"{run.error}; then, closing the books, {type(error).__name__}: {error}"
            run.ended = "crash"

    def _controller(self, run: RunLog, rig: Any, dispenser: NotedDispenser) -> Controller:
        controller = build_controller(
            rig,
            clock=self._clock,
            camera=run.camera,
            dispenser=dispenser,
            vision=CampaignVision(run.vision, self._injector, self._clock),
            bundle=self._bundle,
            record=run.record,
            pump=build_pump(rig, dispenser, self._clock),
        )
        self._state = lambda: _STATES.get(controller.life.state, controller.life.state.value)
        return controller

    # -- what wakes the host, and what strikes it ---------------------------------------------

    def _wakes(self) -> int | None:
        line_ns, frame_ns = self._board.out.due_ns(), self._source.due_ns()
        if line_ns is None or frame_ns is None:
            return frame_ns if line_ns is None else line_ns
        return min(line_ns, frame_ns)

    def _on_line(self, place: Place, line: bytes, now_ns: int) -> Pieces | None:
        fault = self._injector.take(place, now_ns)
        if fault is None:
            return None
        pieces: Pieces = KINDS[fault.kind].act(fault, line)
        if tuple(pieces) == ((line, 0, True),):
            self._injector.changed_nothing()
        return pieces

    def _on_hold(self, now_ns: int) -> int:
        fault = self._injector.take("pump", now_ns)
        return 0 if fault is None else int(KINDS[fault.kind].act(fault))

    def _to_device(self, line: bytes, now_ns: int) -> Pieces | None:
        pieces = self._on_line("receipt", line, now_ns) if line.startswith(b"D ") else None
        return self._on_line("to_device", line, now_ns) if pieces is None else pieces

    def _from_device(self, line: bytes, now_ns: int) -> Pieces | None:
        pieces = None
        if line.startswith(b"A "):
            pieces = self._on_line("ack", line, now_ns)
        elif line.startswith(b"E "):
            pieces = self._on_line("report", line, now_ns)
        return self._on_line("to_host", line, now_ns) if pieces is None else pieces

    def _on_frame(self, source: FrameSource, raw: RawFrame) -> Any:
        fault = self._injector.take("frame", self._clock.time_ns)
        return (raw,) if fault is None else KINDS[fault.kind].act(fault, source, raw)

    def _act(self, fault: Fault, kind: Kind) -> bool:
        """A fault that acts at once: the device first catches up with the moment."""
        self._device.advance(self._clock.time_ns)
        changed = bool(kind.act(fault, self))
        self._device.wake()
        return changed

    def reset_device(self, moment: float, boot_ns: int) -> bool:
        """See `hardware_sim.fault_acts.Rig`."""
        self._board.reset(moment, boot_ns)
        return True

    def press_stop(self, for_ns: int) -> bool:
        """See `hardware_sim.fault_acts.Rig`."""
        return self._board.press_stop(for_ns)

    def step_clock(self, by_us: int) -> bool:
        """See `hardware_sim.fault_acts.Rig`."""
        self._board.step_clock(by_us)
        return True

    def drift_clock(self, by_ppm: float) -> bool:
        """See `hardware_sim.fault_acts.Rig`."""
        self._board.drift_clock(by_ppm)
        return True

    def lose_port(self, for_ns: int) -> bool:
        """See `hardware_sim.fault_acts.Rig`."""
        self._port.lose(self._clock.time_ns, for_ns)
        return True

    def kill_controller(self, reads: int) -> bool:
        """See `hardware_sim.fault_acts.Rig`."""
        if self._state() == "off":
            return False
        self._clock.kill_in(reads)
        return True

    def hold_up(self, for_ns: int) -> bool:
        """See `hardware_sim.fault_acts.Rig`."""
        if self._state() == "off":
            return False
        self._clock.hold(for_ns)
        return True
