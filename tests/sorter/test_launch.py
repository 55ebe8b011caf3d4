"""What the command line asks of the controller's process, in order."""

from __future__ import annotations

import multiprocessing

from sorter.launch import _Orders, _Stop, _Wish
from sorter.life import RunState


def test_wishes_come_in_order_and_a_stop_is_heard() -> None:
    ours, theirs = multiprocessing.Pipe()
    orders = _Orders(theirs)
    assert (orders.stop(), orders.wish()) == (None, None)
    ours.send(_Wish(RunState.PAUSED))
    ours.send(_Wish(RunState.PRIMING))
    assert orders.stop() is None
    assert [orders.wish() for _ in range(3)] == [RunState.PAUSED, RunState.PRIMING, None]
    ours.send(_Stop("q"))
    assert orders.stop() == "q"
    ours.close()
    theirs.close()


def test_a_command_line_that_is_gone_ends_the_run() -> None:
    ours, theirs = multiprocessing.Pipe()
    orders = _Orders(theirs)
    ours.close()
    assert orders.stop() == "the command line is gone"
    theirs.close()
