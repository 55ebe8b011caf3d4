"""What can be wrong with an NE-1000, each with what to do about it."""

from __future__ import annotations

from drivers.ne1000_wire import Answer, Prompt
from sorter.errors import PumpError

_DOES = {
    Prompt.INFUSING: "infuses",
    Prompt.WITHDRAWING: "withdraws",
    Prompt.STOPPED: "has stopped",
    Prompt.PAUSED: "pauses",
    Prompt.PAUSE_PHASE: "is in a timed pause",
    Prompt.WAITING: "waits for a trigger",
    Prompt.PURGING: "purges at its highest rate",
}
_ALARMS = {
    "R": ("was reset: its power was interrupted", "Check its power, then resume"),
    "S": ("has stalled", "Look for a clog, a closed valve or an empty syringe, then resume"),
    "T": ("waited too long for the host", "Set it to Basic mode (SAF 0)"),
    "E": ("has an error in its program", "Reset it at its keypad"),
    "O": ("was sent to a phase that it lacks", "Reset it at its keypad"),
}


def alarm(answer: Answer) -> PumpError:
    """The pump reports an alarm; its motor stands."""
    what, do = _ALARMS[answer.alarm]
    return PumpError(f"the syringe pump {what} (alarm {answer.alarm})", do=do)


def silent() -> PumpError:
    """No answer came."""
    return PumpError(
        "the syringe pump does not answer",
        do="Check its power, the cable, its address and baud rate, and that it is in Basic mode; "
        "until it answers, take it that it may be running",
    )


def disobeys(answer: Answer | None) -> PumpError:
    """It was told to hold, and doesn't, or can't be heard, or its volume grows all the same."""
    if answer is None:
        return silent()
    if answer.stands:
        what = "the syringe pump says that it stands, yet its volume grows"
    else:
        what = f"the syringe pump was told to hold, and {_does(answer)}"
    return PumpError(what, do="Stop it at its keypad, or switch it off; it goes on being told")


def not_held() -> PumpError:
    """It was told to hold for the last time, and did not say that it does."""
    return PumpError(
        "the syringe pump did not confirm that it is held",
        do="Look at it: it may be running. Stop it at its keypad",
    )


def unasked(answer: Answer) -> PumpError:
    """It does other than it was told."""
    return PumpError(
        f"the syringe pump {_does(answer)} without being told to",
        do="Was it its keypad, a trigger, or an empty syringe? Then start it again",
    )


def not_starting() -> PumpError:
    """It was told to run, and stands."""
    return PumpError(
        "the syringe pump does not start", do="Check syringe, rate and the pump's keypad"
    )


def not_stopping() -> PumpError:
    """Its program can't be ended."""
    return PumpError("the syringe pump does not stop", do="Stop it at its keypad, or switch it off")


def not_reversing() -> PumpError:
    """A reverse pulse was asked for, and no one knows whether it was made."""
    return PumpError(
        "the syringe pump did not confirm its reverse pulse",
        do="Look at it; it may have withdrawn or not. Then ask again, or resume",
    )


def endless(answer: Answer) -> PumpError:
    """A reverse pulse did not end as it should."""
    return PumpError(
        f"the syringe pump {_does(answer)} when its reverse pulse should end",
        do="Look at it before you resume",
    )


def refused(text: str, answer: Answer) -> PumpError:
    """It answered a command with an error, as often as it was told."""
    if answer.error == "OOR":
        return PumpError(
            f"the syringe pump says that {text} is out of its range",
            do="Check rate and syringe diameter: the range of rates follows from the diameter",
        )
    return PumpError(
        f"the syringe pump refuses {text} (?{answer.error})",
        do="Stop it at its keypad, and check that it is an NE-1000 in Basic mode",
    )


def not_taken(name: str, value: str) -> PumpError:
    """What it was set to is not what it says that it is set to."""
    return PumpError(
        f"the syringe pump does not take {name} {value}",
        do="Check that it is an NE-1000, and the cable: what comes back differs from what was set",
    )


def other_unit(rate_ul_s: float) -> PumpError:
    """The unit of rate can't change while it runs."""
    return PumpError(
        f"{rate_ul_s:g} µL/s needs another unit than the syringe pump now runs with",
        do="Hold the pump, set the rate, then let it go on",
    )


def no_rate(rate_ul_s: float) -> PumpError:
    """A rate that can't be written in its numbers."""
    return PumpError(f"the syringe pump can't be set to {rate_ul_s:g} µL/s", do="Set another rate")


def unready() -> PumpError:
    """Something is asked of it while it has a fault."""
    return PumpError(
        "the syringe pump has a fault, and has not yet said that it stands",
        do="Wait until it is held, then ask again",
    )


def _does(answer: Answer) -> str:
    return _DOES[answer.prompt]
