"""Settings of a text valve: the strings that a box knows, and how well the host keeps time."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class TextOutlet(BaseModel):
    """One outlet of a text valve, `[[dispenser.outlets]]`: what opens and what closes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=r"^[a-z0-9_]{1,12}$", description="Name of the outlet, as [outlets] has it"
    )
    open: str = Field(
        min_length=1, max_length=32, description="What opens it, without the terminator"
    )
    close: str = Field(
        min_length=1,
        max_length=32,
        description="What closes it; must close however often it is said, never toggle",
    )
    query: str | None = Field(
        None, min_length=1, max_length=32, description="What asks for its state, if the box can"
    )
    closed: str | None = Field(
        None, min_length=1, max_length=32, description="The whole line that answers: it is closed"
    )
    opened: str | None = Field(
        None, min_length=1, max_length=32, description="The whole line that answers: it is open"
    )

    @field_validator("open", "close", "query", "closed", "opened")
    @classmethod
    def _printable(cls, text: str | None) -> str | None:
        if text is not None and (not _is_printable(text) or text != text.strip()):
            raise ValueError("only printable ASCII, without spaces at its ends")
        return text

    @model_validator(mode="after")
    def _whole(self) -> TextOutlet:
        asked = [self.query, self.closed, self.opened]
        if any(asked) and not all(asked):
            raise ValueError("query, closed and opened belong together: set all three, or none")
        if self.query is not None and self.closed == self.opened:
            raise ValueError("the answers closed and opened must differ")
        return self

    @property
    def commands(self) -> list[str]:
        """What the host says to the box about this outlet."""
        return [self.open, self.close, *([self.query] if self.query else [])]


class TextValveSettings(BaseModel):
    """A valve box that takes text commands and has no clock: the host keeps time for it.

    The baud rate is in `[port]`. What such a box can't promise: docs/text_valve.md.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["text_valve"] = Field(
        "text_valve",
        description="What the dispenser speaks: open and close strings, timed by the host",
    )
    rest: str = Field(
        "waste",
        pattern=r"^[a-z0-9_]{1,12}$",
        description="Name of the outlet where all goes when every other one is closed",
    )
    outlets: tuple[TextOutlet, ...] = Field(
        min_length=1, max_length=7, description="The outlets that can be opened"
    )
    terminator: str = Field(
        "\n", max_length=4, description="What ends a command; may be empty. Answers are lines"
    )
    timing_error_ms: float = Field(
        15.0,
        gt=0,
        le=500,
        description="Half width of when a string takes effect: the loop's and the system's "
        "scheduling, the link, the box's own loop; widens every opening, ms",
    )
    late_ms: float = Field(
        8.0,
        ge=0,
        le=500,
        description="An opening whose string would leave the host later than this is refused, ms",
    )
    repeat_ms: int = Field(
        50, ge=5, le=1_000, description="A close is said again after so long until it is sure, ms"
    )
    check_ms: int = Field(
        200,
        ge=10,
        le=5_000,
        description="A closed box is asked for its state so often, or without a query told to "
        "close again, ms",
    )
    silent_ms: int = Field(
        800, ge=50, le=10_000, description="Box is gone when a query gets no answer so long, ms"
    )
    close_ms: int = Field(
        1_000,
        ge=50,
        le=10_000,
        description="It is a fault when the box answers, but not that it is closed, so long, ms",
    )
    settle_ms: int = Field(
        2_000,
        ge=0,
        le=30_000,
        description="Nothing is said for so long after the port was opened: many boards start "
        "anew then, ms",
    )
    connect_ms: int = Field(
        3_000, ge=100, le=60_000, description="Longest wait for a box to say that it is closed, ms"
    )

    @field_validator("terminator")
    @classmethod
    def _ascii(cls, text: str) -> str:
        if not text.isascii():
            raise ValueError("only ASCII")
        return text

    @model_validator(mode="after")
    def _told_apart(self) -> TextValveSettings:
        names = [self.rest, *(one.name for one in self.outlets)]
        if len(set(names)) < len(names):
            raise ValueError("two outlets, or one and rest, have the same name")
        if self.late_ms > self.timing_error_ms:
            raise ValueError("late_ms must not exceed timing_error_ms: what is late must show")
        self._check_commands()
        return self

    def _check_commands(self) -> None:
        opens = [one.open for one in self.outlets]
        others = {text for one in self.outlets for text in one.commands[1:]}
        if len(set(opens)) < len(opens) or others & set(opens):
            raise ValueError("what opens an outlet must mean nothing else")
        queries = {one.query for one in self.outlets if one.query}
        if queries & {one.close for one in self.outlets}:
            raise ValueError("a query must not be what closes an outlet")
        said = {*opens, *others}
        # A box that echoes would otherwise seem to answer.
        if said & {text for one in self.outlets for text in (one.closed, one.opened) if text}:
            raise ValueError("an answer must not read like a command")
        if any(char in text for char in self.terminator for text in said):
            raise ValueError("a command must not hold a character of the terminator")
        pairs = combinations(sorted(said), 2)
        if not self.terminator and any(b.startswith(a) for a, b in pairs):
            raise ValueError("without a terminator no command may begin with another one")


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()
