"""The mass balance of a run: in = collect + waste + recheck + lost + held, and what is under way.

Objects that count are those that the watch must find again (no specks). How many went where they
were meant to is *measured* at the junction (`sorter.junction`), beside what was commanded.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from models.metrics import Rate, wilson
from sorter.decide import OutletSettings
from sorter.junction import Lost, Seen, Unexpected, Verdict

_NS_PER_MIN = 60e9


class BalanceSettings(BaseModel):
    """From when on a mass balance is alarming."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stray_stops: bool = Field(
        True,
        description="one object that was meant for another outlet and surely entered collect "
        "stops the run; otherwise it warns",
    )
    least_objects: int = Field(
        20, ge=1, description="shares of fewer objects than this raise no alarm"
    )
    warn_efficiency: float = Field(
        0.85,
        ge=0,
        le=1,
        description="warn when the measured efficiency is surely (95 %) less than this",
    )
    stop_efficiency: float = Field(
        0.5, ge=0, le=1, description="stop when the measured efficiency is surely less than this"
    )
    most_lost: float = Field(
        0.10, ge=0, le=1, description="warn when surely more than this share gets lost"
    )
    unexpected_per_min: float = Field(
        20.0, ge=0, description="warn from so many passages that nobody expected, per minute"
    )
    unexpected_collect_per_min: float = Field(
        3.0, ge=0, description="stop from so many of them into collect, per minute"
    )
    rate_window_s: float = Field(
        120.0, gt=0, description="rates are taken over the last so many seconds, s"
    )


class Severity(StrEnum):
    """What an alarm asks for."""

    WARN = "warn"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that the mass balance says is wrong; `name` is one word."""

    name: str
    severity: Severity
    text: str


@dataclass(frozen=True, slots=True)
class Balance:
    """Where everything went so far. Counts are of objects that count, unless said otherwise.

    Attributes:
        entered: all that were decided.
        outlets: outlet -> seen to enter it.
        lost: seen nowhere.
        held: lost sight of because the flow was held while they were under way.
        under_way: not ruled on yet.
        efficiency: of those ruled on and meant for collect: seen to enter it.
        contamination: of those seen to enter collect: meant for another outlet.
        commanded: of those ruled on and first meant for collect: still meant for it in the end.
        lost_share: of those ruled on: lost.
        went: meant outlet -> outlet or ``lost`` -> objects ruled on.
        strays, unsure_strays: seen to enter collect and not meant for it, surely and likely.
        specks: outlet -> specks seen to enter it.
        unexpected: outlet -> passages that nobody expected.
        unexpected_per_min: the same of late, per minute.
        collect: name of the outlet.
    """

    entered: int
    outlets: dict[str, int]
    lost: int
    held: int
    under_way: int
    efficiency: Rate
    contamination: Rate
    commanded: Rate
    lost_share: Rate
    went: dict[str, dict[str, int]]
    strays: int
    unsure_strays: int
    specks: dict[str, int]
    unexpected: dict[str, int]
    unexpected_per_min: dict[str, float]
    collect: str

    @property
    def closes(self) -> bool:
        """Nothing came out that did not go in, and nothing vanished."""
        came_out = sum(self.outlets.values()) + self.lost + self.held
        return self.entered == came_out + self.under_way

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, nested like this object; a rate without objects has the value None."""
        told = asdict(self)
        for name in ("efficiency", "contamination", "commanded", "lost_share"):
            if not told[name]["n"]:
                told[name]["value"] = None
        return {**told, "closes": self.closes}


@dataclass(slots=True)
class _UnderWay:
    first: str
    meant: str


class MassBalance:
    """Counts what goes in and what comes out.

    Verdicts on objects that never went in, or on which one was given already, count nowhere.
    """

    def __init__(self, outlets: OutletSettings, settings: BalanceSettings) -> None:
        self._settings = settings
        self._collect = outlets.collect
        self._names = [name for name in (outlets.collect, outlets.rest, outlets.recheck) if name]
        self._under_way: dict[int, _UnderWay] = {}
        self._entered = 0
        self._held = 0
        self._first_collect = 0
        self._kept_collect = 0
        self._went: Counter[tuple[str, str | None]] = Counter()
        self._strays: Counter[bool] = Counter()
        self._specks: Counter[str] = Counter()
        self._unexpected: Counter[str] = Counter()
        self._recent: deque[Unexpected] = deque()

    def entered(self, object_id: int, outlet: str) -> None:
        """An object that counts was decided; an id that is under way goes in once only."""
        if object_id not in self._under_way:
            self._under_way[object_id] = _UnderWay(outlet, outlet)
            self._entered += 1

    def changed(self, object_id: int, outlet: str) -> None:
        """The decision on an object was changed while it was under way."""
        if object_id in self._under_way:
            self._under_way[object_id].meant = outlet

    def held(self, object_id: int) -> None:
        """The flow was held while it was under way: where it went is not known."""
        self._held += self._under_way.pop(object_id, None) is not None

    def heard(self, verdict: Verdict) -> None:
        """What became of an object or a passage."""
        if isinstance(verdict, Unexpected):
            self._unexpected[verdict.outlet] += 1
            self._recent.append(verdict)
        elif not verdict.expected.counts:
            if isinstance(verdict, Seen):
                self._specks[verdict.outlet] += 1
        elif (one := self._under_way.pop(verdict.object_id, None)) is not None:
            self._first_collect += one.first == self._collect
            self._kept_collect += one.first == one.meant == self._collect
            self._went[one.meant, _where(verdict)] += 1
            if isinstance(verdict, Seen) and verdict.outlet == self._collect != one.meant:
                self._strays[verdict.sure] += 1

    def balance(self, now_ns: int) -> Balance:
        """As of host time `now_ns`."""
        came = dict.fromkeys(self._names, 0)
        went: dict[str, dict[str, int]] = {}
        for (meant, seen), n in self._went.items():
            if seen is not None:
                came[seen] = came.get(seen, 0) + n
            went.setdefault(meant, {})[seen or "lost"] = n
        lost = sum(n for (_, seen), n in self._went.items() if seen is None)
        meant_collect = sum(went.get(self._collect, {}).values())
        good = self._went[self._collect, self._collect]
        collected = came[self._collect]
        return Balance(
            entered=self._entered,
            outlets=came,
            lost=lost,
            held=self._held,
            under_way=len(self._under_way),
            efficiency=_rate(good, meant_collect),
            contamination=_rate(collected - good, collected),
            commanded=_rate(self._kept_collect, self._first_collect),
            lost_share=_rate(lost, self._went.total()),
            went=went,
            strays=self._strays[True],
            unsure_strays=self._strays[False],
            specks=dict(self._specks),
            unexpected=dict(self._unexpected),
            unexpected_per_min=self._per_min(now_ns),
            collect=self._collect,
        )

    def _per_min(self, now_ns: int) -> dict[str, float]:
        since_ns = now_ns - self._settings.rate_window_s * 1e9
        while self._recent and self._recent[0].at_ns < since_ns:
            self._recent.popleft()
        recent = Counter(one.outlet for one in self._recent)
        minutes = self._settings.rate_window_s * 1e9 / _NS_PER_MIN
        return {outlet: n / minutes for outlet, n in recent.items()}


def alarms(balance: Balance, settings: BalanceSettings) -> tuple[Alarm, ...]:
    """What is wrong with a balance, the gravest first."""
    found = [*_of_strays(balance, settings), *_of_shares(balance, settings)]
    unexpected = balance.unexpected_per_min
    if unexpected.get(balance.collect, 0.0) >= settings.unexpected_collect_per_min > 0:
        found.append(
            Alarm(
                "unexpected_in_collect",
                Severity.STOP,
                f"{unexpected[balance.collect]:.1f} passages a minute into {balance.collect} that "
                "no object explains: something passes the view unseen, or the optical gate is "
                "dirty",
            )
        )
    if sum(unexpected.values()) >= settings.unexpected_per_min > 0:
        found.append(
            Alarm(
                "unexpected",
                Severity.WARN,
                f"{sum(unexpected.values()):.1f} passages a minute that no object explains",
            )
        )
    return tuple(sorted(found, key=lambda one: one.severity is not Severity.STOP))


def _of_strays(balance: Balance, settings: BalanceSettings) -> list[Alarm]:
    text = f"entered {balance.collect} and was not meant to"
    found = []
    if balance.strays:
        severity = Severity.STOP if settings.stray_stops else Severity.WARN
        found.append(Alarm("stray", severity, f"objects that {text}: {balance.strays}"))
    if balance.unsure_strays:
        text = f"objects of which one likely {text}: {balance.unsure_strays}"
        found.append(Alarm("unsure_stray", Severity.WARN, text))
    return found


def _of_shares(balance: Balance, settings: BalanceSettings) -> list[Alarm]:
    found = []
    efficiency, high = balance.efficiency, balance.efficiency.interval[1]
    if efficiency.n >= settings.least_objects and high < settings.warn_efficiency:
        found.append(
            Alarm(
                "efficiency",
                Severity.STOP if high < settings.stop_efficiency else Severity.WARN,
                f"only {efficiency.value:.0%} of {efficiency.n} objects meant for "
                f"{balance.collect} were seen there (at most {high:.0%})",
            )
        )
    lost = balance.lost_share
    if lost.n >= settings.least_objects and lost.interval[0] > settings.most_lost:
        found.append(
            Alarm("lost", Severity.WARN, f"{lost.value:.0%} of {lost.n} objects never arrived")
        )
    return found


def _where(verdict: Seen | Lost) -> str | None:
    return verdict.outlet if isinstance(verdict, Seen) else None


def _rate(part: int, whole: int) -> Rate:
    return Rate(part / whole if whole else float("nan"), wilson(part, whole), whole)
