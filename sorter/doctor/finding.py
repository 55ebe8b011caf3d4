"""What a check has found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sorter.errors import CheckFailed, HardwareError, SorterError


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's answer.

    Attributes:
        check: which.
        verdict: ``passed``; ``warning``: it works, and something is to be known; ``failed``.
        what: what was measured, or what is wrong.
        do: what to do about it; empty for a check that passed.
        exit_code: that of the error; 0 unless it failed.
    """

    check: str
    verdict: Literal["passed", "warning", "failed"]
    what: str
    do: str = ""
    exit_code: int = 0


def passed(check: str, what: str) -> Finding:
    """All is well."""
    return Finding(check, "passed", what)


def warning(check: str, what: str, do: str) -> Finding:
    """It works, but."""
    return Finding(check, "warning", what, do)


def failed(check: str, what: str, do: str) -> Finding:
    """It is not fit to sort."""
    return Finding(check, "failed", what, do, CheckFailed.exit_code)


def broken(check: str, error: SorterError) -> Finding:
    """The part raised: the error is the finding."""
    on = f" ({error.on})" if error.on else ""
    return Finding(check, "failed", f"{error.what}{on}", error.do, error.exit_code)


def attempt(check: str, look: Callable[[], Finding]) -> Finding:
    """A check whose part may raise."""
    try:
        return look()
    except SorterError as error:
        return broken(check, error)


def exit_code(findings: Sequence[Finding]) -> int:
    """0 when none failed; 3 when hardware does not answer, else 1."""
    codes = {one.exit_code for one in findings if one.verdict == "failed"}
    if HardwareError.exit_code in codes:
        return HardwareError.exit_code
    return CheckFailed.exit_code if codes else 0
