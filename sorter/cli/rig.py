"""`sorter demo`, `run`, `init`: everything that sorts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from sorter.cli import INTERRUPTED
from sorter.cli.app import JsonFlag, console_err, console_out, put_json, told
from sorter.errors import SorterError, UsageError

if TYPE_CHECKING:
    from sorter.processes import Interrupts
    from sorter.settings import RigSettings

_LONG = ("outlets", "unsafe_bodies")
RigFile = Annotated[Path, typer.Argument(metavar="RIG.toml", help="the rig's settings file")]


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    app.command("demo")(demo)
    app.command("run")(run)
    app.command("init")(init)


@told
def demo(
    seed: Annotated[int, typer.Option(min=0, help="everything random")] = 0,
    rate_hz: Annotated[float, typer.Option(min=0.0, max=20.0, help="spheroids per second")] = 1.0,
    unhealthy: Annotated[float, typer.Option(min=0.0, max=1.0, help="share of unhealthy")] = 0.1,
    duration_s: Annotated[float, typer.Option(min=1.0, help="length of the run")] = 60.0,
    source: Annotated[
        Literal["simulated", "real"],
        typer.Option(help="drawn spheroids, or cut-outs of real images (no truth about health)"),
    ] = "simulated",
    real_images: Annotated[
        Path | None, typer.Option(help="folder of the real images; the repository's own otherwise")
    ] = None,
    bundle: Annotated[str, typer.Option(help="folder of the model bundle")] = "default",
    out: Annotated[Path | None, typer.Option(help="folder for everything that it writes")] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="decide, but leave the gate")] = False,
    optical_gates: Annotated[
        bool, typer.Option("--optical-gates", help="watch the outlets: measured efficiency")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Sort a simulated rig in real time: needs no hardware.

    Example: sorter demo --rate-hz 2 --unhealthy 0.05 --out my-demo
    """
    from hardware_sim.demo_rig import DemoSettings, demo_truth, start_demo_rig
    from sorter.files import write_atomic
    from sorter.processes import interrupts_noted

    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = out or Path(f"demo-run-{stamp}")
    choice = DemoSettings(
        seed=seed,
        rate_hz=rate_hz,
        unhealthy=unhealthy,
        duration_s=duration_s,
        source=source,
        real_images=real_images,
        # What the rig file names is relative to that file; what is typed, to where one is.
        bundle=bundle if bundle == "default" else str(Path(bundle).absolute()),
        shadow=shadow,
        optical_gates=optical_gates,
    )
    console = console_err() if as_json else console_out()
    with interrupts_noted() as interrupts, start_demo_rig(folder, choice) as ready:
        record, reason = _sort(ready.rig_file, console, interrupts)
    from sorter.record_reader import open_record

    with open_record(record) as reader:
        truth, rendered = demo_truth(ready.folder, reader)
    write_atomic(ready.folder / "truth.json", json.dumps(truth, allow_nan=False, indent=1) + "\n")
    _tell(record, ready.folder / "report.html", truth, rendered, as_json=as_json)
    _exit_for(reason)


@told
def run(
    rig_file: RigFile,
    shadow: Annotated[bool, typer.Option("--shadow", help="decide, but leave the gate")] = False,
    duration_s: Annotated[float | None, typer.Option(min=1.0, help="end after so long")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Sort on a rig until Ctrl-C, or for a given time.

    Example: sorter run rig.toml --shadow
    """
    from sorter.processes import interrupts_noted

    changes: dict[str, Any] = {}
    if shadow:
        changes["shadow"] = True
    if duration_s is not None:
        changes["duration_s"] = duration_s
    console = console_err() if as_json else console_out()
    with interrupts_noted() as interrupts:
        record, reason = _sort(rig_file, console, interrupts, **changes)
    _tell(record, record.with_suffix(".html"), None, None, as_json=as_json)
    _exit_for(reason)


@told
def init(
    rig_file: RigFile = Path("rig.toml"),
    camera_cfg: Annotated[
        Path, typer.Option(help="Micro-Manager configuration file of the camera")
    ] = Path("camera.cfg"),
    port: Annotated[str, typer.Option(help="the dispenser's port, e.g. COM3")] = "COM3",
) -> None:
    """Write a commented settings file for a rig.

    Example: sorter init rig.toml --camera-cfg MMConfig.cfg --port COM7
    """
    from drivers.mmcore_camera import MMCoreCameraSettings
    from drivers.serial_link import SerialLinkSettings
    from sorter.files import write_atomic
    from sorter.settings import RigSettings
    from sorter.settings_dump import dump_commented_toml

    if rig_file.exists():
        raise UsageError("the file exists", on=rig_file, do="Name another one, or move it away")
    rig = RigSettings(
        camera=MMCoreCameraSettings(config_file=camera_cfg), port=SerialLinkSettings(port=port)
    )
    write_atomic(rig_file, dump_commented_toml(RigSettings, rig))
    console_out().print(f"wrote {rig_file}; next: sorter run {rig_file} --shadow")


def _sort(
    rig_file: Path, console: Console, interrupts: Interrupts, **changes: Any
) -> tuple[Path, str]:
    """Run the controller with a live display; returns the record and how the run ended."""
    from sorter.guarantees import describe, guarantees_of, refuse_unattended
    from sorter.settings import load_rig

    rig = load_rig(rig_file)
    rig = rig.model_copy(update={"run": rig.run.model_copy(update=changes)})
    refuse_unattended(guarantees_of(rig), rig.run.unattended)
    for line in describe(guarantees_of(rig)):
        console.print(f"[yellow]not guaranteed:[/] {line}", soft_wrap=True)
    console.print(
        "starting camera, dispenser, model and record …  "
        "(half a minute the first time after an installation)"
    )
    if interrupts.count:
        raise KeyboardInterrupt
    return _follow(rig, console, interrupts)


def _follow(rig: RigSettings, console: Console, interrupts: Interrupts) -> tuple[Path, str]:
    """Start the controller, show what it does, ask it to stop on Ctrl-C, wait for its end."""
    from sorter.keys import HINT, Keys
    from sorter.launch import ControllerProcess
    from sorter.live import watch
    from sorter.settings_dump import dump_commented_toml

    stopping = False
    started = ControllerProcess.start(rig, dump_commented_toml(type(rig), rig))
    with started as controller, Keys() as keys:

        def ended(timeout_s: float) -> bool:
            nonlocal stopping
            typed = keys.read().lower()
            for key, act in (("p", controller.pause), ("r", controller.resume)):
                if key in typed:
                    act()
            if (interrupts.count or "q" in typed) and not stopping:
                stopping = True
                console.print("stopping: what is under way is sorted, then the gate goes to rest …")
                controller.stop("q" if "q" in typed else "Ctrl-C")
            return controller.wait(timeout_s)

        record = controller.wait_ready(asked=lambda: interrupts.count > 0)
        if record is None:
            raise KeyboardInterrupt
        try:
            hint = HINT if keys.active else None
            watch(record, ended, console=console, duration_s=rig.run.duration_s, hint=hint)
            return record, controller.result()
        except SorterError:
            console.print(f"what was recorded: sorter report {record}", soft_wrap=True)
            raise


def _tell(
    record: Path,
    page: Path,
    truth: dict[str, Any] | None,
    rendered: int | None,
    *,
    as_json: bool,
) -> None:
    """The sort report: on the terminal or as JSON, and as a page.

    The JSON has the figures of the truth; its row for each body is for the page.
    """
    from sorter.record_reader import open_record
    from sorter.report import write_report
    from sorter.report_text import sort_report_text
    from sorter.summary import summarize, with_truth

    with open_record(record) as reader:
        summary = summarize(reader)
    write_report(record, page, truth)
    if as_json:
        figures = truth and {k: v for k, v in truth.items() if k not in _LONG}
        put_json(
            with_truth(summary, figures, rendered) | {"record": str(record), "page": str(page)}
        )
        return
    console = console_out()
    console.print(sort_report_text(summary, truth))
    console.print(f"record: {record}\npage:   {page}")


def _exit_for(reason: str) -> None:
    if reason == "interrupted":
        raise typer.Exit(INTERRUPTED)
