"""The figures of a run whose rows are known by construction."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sorter.record import EventRow, Recorder
from sorter.record_reader import open_record
from sorter.summary import OutletCount, Summary, summarize, with_truth
from tests.sorter.record_samples import META, frame_row, write_run


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    path = write_run(tmp_path_factory.mktemp("run") / "run.sqlite", 16)
    with open_record(path) as reader:
        return summarize(reader)


def test_counts(summary: Summary) -> None:
    assert (summary.seen, summary.decided) == (16, 14)
    assert (summary.late, summary.conflicts, summary.taken_back) == (2, 4, 2)
    assert summary.reasons == {
        "healthy": 6,
        "conflict": 4,
        "unhealthy": 2,
        "late": 2,
        "too_small": 2,
    }
    assert summary.outlets == {
        "collect": OutletCount(6, 8, 8, 6, 2, {"healthy": 6}),
        "waste": OutletCount(
            10, 0, 0, 0, 0, {"conflict": 4, "unhealthy": 2, "late": 2, "too_small": 2}
        ),
    }
    # 8 called healthy, and 4 whose coincidence or lateness was known before; 6 openings done.
    assert summary.efficiency == pytest.approx(6 / 12)
    assert (summary.warnings, summary.faults) == (1, 0)
    assert (summary.end_reason, summary.exit_code) == ("done", 0)


def test_frames_and_times(summary: Summary) -> None:
    assert (summary.frames_received, summary.frames_dropped) == (359, 1)
    assert summary.fps_measured == pytest.approx(358 / (359 * 0.005))
    # Odd frames hold an object, 179 without number 3; those that end in 5 take 3 ms, others 1.
    latency = summary.latency_ms
    assert latency.n == 179
    assert (latency.p50, latency.p99, latency.p999, latency.max) == (1.0, 3.0, 3.0, 3.0)
    command = summary.command_ms
    assert (command.n, command.p50, command.p99, command.max) == (8, 1.0, 1.0, 1.0)
    assert summary.duration_s == pytest.approx(359 * 0.005 + 0.001, abs=1e-9)
    assert summary.objects_per_min == pytest.approx(60 * 16 / summary.duration_s)


def test_json_of_a_simulated_run(summary: Summary) -> None:
    truth = {"objects": 15, "purity": 1.0, "yield": 0.5, "unsafe": 0}
    result = json.loads(json.dumps(with_truth(summary, truth, frames_rendered=360)))
    assert result["truth"] == truth
    assert result["frames_rendered"] == 360
    assert set(result["latency_ms"]) == {"n", "p50", "p99", "p999", "max"}
    assert set(result["command_ms"]) == {"n", "p50", "p99", "max"}
    wanted = {"seen", "decided", "late", "conflicts", "fps_measured"}
    assert wanted | {"frames_received", "frames_dropped"} <= set(result)
    assert "truth" not in with_truth(summary, None)


def test_an_empty_run_has_figures_too(tmp_path: Path) -> None:
    recorder = Recorder.start(tmp_path / "run.sqlite", META)
    recorder.event(EventRow(META.origin_ns, "fault", "camera", "no frame came"))
    recorder.finish("fault", 4)
    with open_record(recorder.path) as reader:
        summary = summarize(reader)
    assert (summary.seen, summary.fps_measured, summary.duration_s) == (0, 0.0, 0.0)
    assert (summary.latency_ms.n, summary.latency_ms.max, summary.efficiency) == (0, 0.0, None)
    assert (summary.faults, summary.exit_code) == (1, 4)


@pytest.mark.parametrize(
    ("numbers", "dropped"),
    [
        ([], 0),
        ([7], 0),
        ([0, 1, 2], 0),
        ([0, 1, 5, 6, 9], 5),
        ([100, 101, 0, 1, 3], 1),
    ],
    ids=["none", "one", "all there", "two gaps", "camera started again"],
)
def test_dropped_frames_are_gaps(tmp_path: Path, numbers: list[int], dropped: int) -> None:
    recorder = Recorder.start(tmp_path / "run.sqlite", META)
    for number in numbers:
        recorder.frame(frame_row(number))
    recorder.finish("done", 0)
    with open_record(recorder.path) as reader:
        summary = summarize(reader)
    assert (summary.frames_received, summary.frames_dropped) == (len(numbers), dropped)
