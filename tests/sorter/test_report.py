"""The page: self-contained, and its counts are the record's."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from sorter.errors import InputError, UsageError
from sorter.record import EventRow, Recorder
from sorter.record_reader import open_record
from sorter.report import GALLERY_LIMIT, sort_report_text, write_report
from sorter.report_charts import Mark, Series, histogram, nice_ticks
from sorter.report_truth import truth_by_object
from sorter.report_words import UNVALIDATED, reason_words
from sorter.summary import summarize
from tests.sorter.record_samples import META, crop, object_row, write_run


def body(
    object_ids: list[int], health: str | None, phenotype: str, outlet: str
) -> dict[str, object]:
    """A body that passed the junction, as the simulator's verdict lists it."""
    kind = "debris" if health is None else "spheroid"
    return {
        "kind": kind,
        "health": health,
        "phenotype": phenotype,
        "outlet": outlet,
        "object_ids": object_ids,
    }


TRUTH = {
    "objects": 15,
    "purity": 0.9931,
    "unsafe": 0,
    "unsafe_bodies": [],
    "recall_by_phenotype": {"hollow": {"n": 3, "kept_out": 2}},
    "by_plate": {"A": None},
    "outlets": [
        body([1], "healthy", "healthy", "collect"),
        body([2], "unhealthy", "hollow", "collect"),
        body([3], "unhealthy", "hollow", "waste"),
        body([4], "healthy", "dark_core", "waste"),
        body([5], "healthy", "healthy", "collect"),
        body([5], "unhealthy", "hollow", "collect"),
        body([6, 7], None, "debris", "waste"),
        body([], "healthy", "healthy", "collect"),
    ],
}


class Page(HTMLParser):
    """Every address that the page refers to, its table rows, and its pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.images: list[str] = []
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
                self.addresses.append(value or "")
            if tag == "img" and name == "src":
                self.images.append(value or "")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data

    def cell(self, first: str, column: int = 1) -> str:
        return next(row[column] for row in self.rows if row and row[0] == first)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "run.sqlite", 16)


@pytest.fixture(scope="module")
def text(record: Path) -> str:
    return write_report(record, record.with_suffix(".html"), TRUTH).read_text("utf-8")


def test_nothing_outside_the_file_is_referred_to(text: str) -> None:
    page = Page(text)
    assert page.addresses
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"https?://|//[a-z]|url\(|@import", re.sub(r"base64,[^\"]+", "", text))


def test_counts_are_the_records(record: Path, text: str) -> None:
    page = Page(text)
    with open_record(record) as reader:
        summary = summarize(reader)
    for name, outlet in summary.outlets.items():
        assert page.cell(name) == str(outlet.target)
        if outlet.sent:
            row = next(r for r in page.rows if r and r[0] == name)
            assert [int(v) for v in row[3:]] == [
                outlet.sent,
                outlet.acknowledged,
                outlet.executed,
                outlet.refused,
            ]
    for reason, n in summary.reasons.items():
        assert page.cell(reason_words(reason)) == str(n)
    tiles = re.findall(r"<b>([^<]+?)(?: ?<small>.*?</small>)?</b><span>([^<]+)", text)
    shown = {label: value for value, label in tiles}
    assert shown["seen"] == str(summary.seen)
    assert shown["late"] == str(summary.late)
    assert shown["aborted for coincidence"] == str(summary.conflicts)
    assert page.cell("frame → done") == str(summary.latency_ms.n)


def test_the_gallery_shows_the_recorded_crops(text: str) -> None:
    shown = {image.removeprefix("data:image/png;base64,") for image in Page(text).images}
    assert len(shown) == 16
    decoded = [
        cv2.imdecode(np.frombuffer(base64.b64decode(s), np.uint8), cv2.IMREAD_UNCHANGED)
        for s in shown
    ]
    for object_id in range(1, 17):
        same = [i for i in decoded if i is not None and np.array_equal(i, crop(object_id))]
        assert len(same) == 1


def test_statement_truth_and_escaping(text: str) -> None:
    assert UNVALIDATED in text
    page = Page(text)
    assert page.cell("purity") == "99.31 %"
    assert page.cell("unsafe") == "0"
    assert page.cell("by plate: A") == "–"
    assert page.cell("recall by phenotype: hollow") == "2 of 3"
    assert "a &lt;b&gt;note&lt;/b&gt; of the operator" in text
    assert "simulated rig, seed 7" in text


def test_where_each_kind_went(text: str) -> None:
    page = Page(text)
    start = page.rows.index(["body", "collect", "waste"])
    assert page.rows[start + 1 : start + 5] == [
        ["healthy", "3", "0"],
        ["healthy, dark core", "0", "1"],
        ["unhealthy, hollow", "2", "1"],
        ["debris", "0", "1"],
    ]


def test_what_each_object_was() -> None:
    known = truth_by_object(TRUTH, "collect")
    assert {i: (t.what, t.wrong) for i, t in known.items()} == {
        1: ("healthy", False),
        2: ("unhealthy, hollow", True),
        3: ("unhealthy, hollow", False),
        4: ("healthy, dark core", True),
        5: ("healthy + unhealthy, hollow", True),
        6: ("debris", False),
        7: ("debris", False),
    }
    assert known[2].entered == ("collect",)


def test_the_gallery_shows_wrong_ones_first(text: str) -> None:
    collected = text[text.index("collect · judged healthy") :]
    wrong = re.findall(r'class="wrong">.*?#(\d+)<', collected[: collected.index("</section>")])
    right = re.findall(r"#(\d+)<", collected[: collected.index("</section>")])
    assert wrong == ["2"]
    assert right[0] == "2"


def test_worst_first_and_limited(tmp_path: Path) -> None:
    recorder = Recorder.start(tmp_path / "run.sqlite", META)
    n = GALLERY_LIMIT + 5
    ranks = np.random.default_rng(5).permutation(n)
    for i in range(n):
        row = object_row(i + 1, "collect", "healthy")
        values = {name: getattr(row, name) for name in row.__struct_fields__}
        values["p_unhealthy"] = float(ranks[i]) / 100
        recorder.object(type(row)(**values), [crop(i)])
    recorder.finish("done", 0)
    text = write_report(recorder.path, tmp_path / "report.html", None).read_text("utf-8")
    shown = [float(p) for p in re.findall(r"</b> p ([0-9.]+)", text)]
    assert shown == sorted((r / 100 for r in ranks), reverse=True)[:GALLERY_LIMIT]
    assert f"{GALLERY_LIMIT} shown" in text
    assert "Against the truth" not in text


@pytest.mark.parametrize("event", [None, "fault"], ids=["nothing at all", "one fault"])
def test_a_run_without_objects(tmp_path: Path, event: str | None) -> None:
    recorder = Recorder.start(tmp_path / "run.sqlite", META)
    if event:
        recorder.event(EventRow(META.origin_ns, "fault", "camera", "no frame <came>"))
    recorder.finish("fault", 4)
    text = write_report(recorder.path, tmp_path / "report.html").read_text("utf-8")
    assert "No object was seen." in text
    assert ("no frame &lt;came&gt;" in text) == (event is not None)


def test_bad_input_leaves_nothing_behind(tmp_path: Path, record: Path) -> None:
    with pytest.raises(InputError, match="no such record"):
        write_report(tmp_path / "none.sqlite", tmp_path / "report.html")
    with pytest.raises(UsageError, match="cannot write"):
        write_report(record, tmp_path / "missing" / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_the_terminals_report_holds_the_counts(record: Path) -> None:
    with open_record(record) as reader:
        summary = summarize(reader)
    console = Console(file=StringIO(), width=100)
    console.print(sort_report_text(summary, TRUTH))
    assert isinstance(console.file, StringIO)
    lines = re.sub(r"[│╭╮╰╯─]", "", console.file.getvalue())
    for pattern in (
        r"seen\s+16\b",
        r"aborted for coincidence\s+4\b",
        r"collect\s+6\s+8\s+6\s+2\b",
        r"judged unhealthy\s+2\b",
        r"purity\s+99\.31 %",
        r"latency p99\s+3\.00 ms",
    ):
        assert re.search(pattern, lines), pattern


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (37, 49, [38, 40, 42, 44, 46, 48]),
        (0, 0.06, [0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_bars_stand_where_the_counts_say() -> None:
    edges = np.array([1.0, 10.0, 100.0])
    series = [Series("frames", "c-neutral", np.array([100.0, 1.0]))]
    svg = histogram(
        edges,
        series,
        title="t",
        x_label="x",
        y_label="y",
        log_x=True,
        marks=[Mark(10.0, "middle")],
        size=(458, 256),
    )
    bars = re.findall(r'<rect class="c-neutral" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', svg)
    # The axis runs from 46 to 446: two decades of 200 units each; bars end 1 unit before the next.
    assert [(float(x), float(w)) for x, _, w in bars] == [(46.0, 199.0), (246.0, 199.0)]
    # 200 units high for 1.06 times the highest count, base at 216.
    assert [float(y) for _, y, _ in bars] == pytest.approx(
        [216 - 200 / 1.06, 216 - 2 / 1.06], abs=0.01
    )
    assert '<path class="mark" d="M246.0 ' in svg
