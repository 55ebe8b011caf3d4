from __future__ import annotations

from pathlib import Path

import pytest

from hardware_sim.gate_log import (
    Accepted,
    Edge,
    GateEdge,
    GateLogTail,
    PumpEdge,
    StopEdge,
    format_line,
    outlet_at,
    parse_line,
    read_gate_log,
    read_log,
    read_pump_log,
)
from sorter.errors import InputError

START = GateEdge(1_000, "waste", 1_000)
OPEN = GateEdge(5_000, "collect", 30_000)
CLOSED = GateEdge(60_000, "waste", 75_000)
HELD = PumpEdge(1_000, True)
CLEARED = StopEdge(2_000, "")
FLOWS = PumpEdge(3_000, False)
STOPPED = StopEdge(60_000, "PIN")
TAKEN = Accepted(4_000, 7)
ALL: list[Edge] = [START, HELD, CLEARED, FLOWS, TAKEN, OPEN, STOPPED, CLOSED]


def text() -> str:
    return "".join(format_line(edge, start=edge in (START, HELD)) for edge in ALL)


def test_log_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "gate.jsonl"
    path.write_text(text() + '{"t_ns": 70')
    assert read_log(path) == ALL
    assert read_gate_log(path) == [START, OPEN, CLOSED]
    assert read_pump_log(path) == [HELD, FLOWS]


DOCUMENTED = {
    '{"start": true, "t_ns": 1000, "outlet": "waste"}': START,
    '{"start": true, "t_ns": 1000, "held": true}': HELD,
    '{"t_ns": 2000, "estop": ""}': CLEARED,
    '{"t_ns": 3000, "held": false}': FLOWS,
    '{"t_ns": 4000, "accepted": 7}': TAKEN,
    '{"t_ns": 5000, "outlet": "collect", "effective_ns": 30000}': OPEN,
}


@pytest.mark.parametrize(("line", "edge"), DOCUMENTED.items())
def test_the_documented_lines(line: str, edge: Edge) -> None:
    assert parse_line(line) == edge
    assert format_line(edge, start="start" in line) == line + "\n"


@pytest.mark.parametrize(
    ("t_ns", "outlet"),
    [(0, "waste"), (29_999, "waste"), (30_000, "collect"), (74_999, "collect"), (75_000, "waste")],
)
def test_outlet_follows_the_valve_not_the_pin(t_ns: int, outlet: str) -> None:
    assert outlet_at([START, OPEN, CLOSED], t_ns) == outlet


def test_tail_gives_whole_lines_once(tmp_path: Path) -> None:
    path = tmp_path / "gate.jsonl"
    tail = GateLogTail(path)
    assert tail.read() == []
    whole = text()
    found = []
    for cut in (10, 60, len(whole) - 5, len(whole)):
        path.write_text(whole[:cut])
        found += tail.read()
    assert found == ALL
    assert tail.read() == []
    tail.close()
    tail.close()


@pytest.mark.parametrize("line", ["", "{}", "[1]", '{"t_ns": "x", "outlet": "waste"}', "nonsense"])
def test_what_is_no_line_is_refused(line: str) -> None:
    with pytest.raises(InputError, match="can't be read"):
        parse_line(line)


def test_a_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gate log is missing"):
        read_gate_log(tmp_path / "gone.jsonl")
