"""Of whom in view the scheduler is told in a frame: pure.

To find when a body arrives takes a while, and with many in view the frame in which something comes
to be due would take long. So they are told of one by one before that, and told of again, as more is
known of them, one by one as well.
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


def to_tell(
    in_view: Iterable[InView],
    told: Mapping[int, int],
    until_ns: float | None,
    soon_ns: float | None,
) -> tuple[list[int], dict[int, int]]:
    """Who is to be told of, and what is known of all that matter then: id -> views.

    Args:
        in_view: all that are followed.
        told: of whom the scheduler knows, and from how many views.
        until_ns: until when arrivals matter to what is due now, None: nothing is.
        soon_ns: the same of what will be due soon, not before ``until_ns``.
    """
    must, may, known = list[InView](), list[InView](), dict[int, int]()
    for body in in_view:
        if soon_ns is None or body.first_ns > soon_ns:
            continue
        if body.id in told:
            known[body.id] = told[body.id]
        if body.id not in told and until_ns is not None and body.first_ns <= until_ns:
            must.append(body)
        elif body.views - told.get(body.id, 0) >= _TELL_AGAIN:
            may.append(body)
    if may:  # first those of whom nothing is known, then those of whom most is new
        least = min(may, key=lambda body: (body.id in known, known.get(body.id, 0) - body.views))
        must.append(least)
    known.update((body.id, body.views) for body in must)
    return [body.id for body in must], known
