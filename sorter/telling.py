"""Of whom in view the scheduler is told in a frame: pure.

To find when a body arrives takes a while, and with many in view the frame in which something comes
to be due would take long. So they are told of before that, and told of again as more is known of
them, one by one, in moments without frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

_TELL_AGAIN = 4  # views after which an arrival is known better


class InView(NamedTuple):
    """A body in view.

    Attributes:
        id: its track's.
        views: whole ones so far.
        first_ns: liquid time before which it can't be at the junction.
    """

    id: int
    views: int
    first_ns: float


class Telling(NamedTuple):
    """Who is to be told of.

    Attributes:
        now: at once, ids.
        later: the next one, in a moment without frames; None: nobody.
        known: what is known of all that matter, once the first have been told of: id -> views.
    """

    now: list[int]
    later: int | None
    known: dict[int, int]


def to_tell(
    in_view: Iterable[InView],
    told: Mapping[int, int],
    until_ns: float | None,
    soon_ns: float | None,
) -> Telling:
    """Who is to be told of.

    Args:
        in_view: all that are followed.
        told: of whom the scheduler knows, and from how many views.
        until_ns: until when arrivals matter to what is due now, None: nothing is.
        soon_ns: the same of what will be due soon, not before ``until_ns``.
    """
    now, may, known = list[int](), list[InView](), dict[int, int]()
    for body in in_view:
        if soon_ns is None or body.first_ns > soon_ns:
            continue
        if body.id in told:
            known[body.id] = told[body.id]
        if body.id not in told and until_ns is not None and body.first_ns <= until_ns:
            now.append(body.id)
            known[body.id] = body.views
        elif body.views - told.get(body.id, 0) >= _TELL_AGAIN:
            may.append(body)
    # First those of whom nothing is known, then those of whom most is new.
    least = min(
        may, key=lambda body: (body.id in known, known.get(body.id, 0) - body.views), default=None
    )
    return Telling(now, None if least is None else least.id, known)
