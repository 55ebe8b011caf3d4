"""Conformance of commands and their reports."""

from __future__ import annotations

from drivers.conformance.dialogue import Dialogue

COMMANDS = (
    Dialogue(
        "opens and closes at the scheduled times, and reports",
        """armed
        1000 > O 5EED0001 1 collect {+200000} 004E20
        1000 < A 0001 1
        200000 gate collect
        220000 gate waste
        220000 < E 0001 1 {+200000} 004E20
        230000 > D 5EED0001 1
        500000 > PING 5EED0001 0001
        500000 < PONG 0001 0001 {+500000} {+500000} 0 00000000 00000000""",
    ),
    Dialogue(
        "the same, across the wrap of the 32-bit clock",
        """armed
        1000 > O 5EED0001 1 collect {+200000} 004E20
        1000 < A 0001 1
        200000 gate collect
        220000 gate waste
        220000 < E 0001 1 {+200000} 004E20""",
        start_us=0xFFFFFFFF - 210_000,
    ),
    Dialogue(
        "a report is sent again until it is acknowledged",
        """armed
        1000 > O 5EED0001 1 collect {+100000} 004E20
        1000 < A 0001 1
        100000 gate collect
        120000 gate waste
        120000 < E 0001 1 {+100000} 004E20
        370000 < E 0001 1 {+100000} 004E20
        620000 < E 0001 1 {+100000} 004E20
        700000 > D 5EED0001 1
        950000 > PING 5EED0001 0001
        950000 < PONG 0001 0001 {+950000} {+950000} 0 00000000 00000000""",
    ),
    Dialogue(
        "a resend is answered and does not act twice",
        """armed
        1000 > O 5EED0001 1 collect {+100000} 00C350
        1000 < A 0001 1
        2000 > O 5EED0001 1 collect {+100000} 00C350
        2000 < A 0001 1
        100000 gate collect
        120000 > O 5EED0001 1 collect {+100000} 00C350
        120000 < A 0001 1
        150000 gate waste
        150000 < E 0001 1 {+100000} 00C350
        200000 > O 5EED0001 1 collect {+100000} 00C350
        200000 < E 0001 1 {+100000} 00C350
        220000 > D 5EED0001 1
        240000 > O 5EED0001 1 collect {+100000} 00C350
        240000 < E 0001 1 {+100000} 00C350""",
    ),
    Dialogue(
        "the same id with other content is refused, and the first one stands",
        """armed
        1000 > O 5EED0001 1 collect {+100000} 004E20
        1000 < A 0001 1
        2000 > O 5EED0001 1 collect {+100000} 004E21
        2000 < N 0001 1 DUPLICATE
        3000 > O 5EED0001 1 recheck {+100000} 004E20
        3000 < N 0001 1 DUPLICATE
        4000 > O 5EED0001 1 collect {+100001} 004E20
        4000 < N 0001 1 DUPLICATE
        100000 gate collect
        120000 gate waste
        120000 < E 0001 1 {+100000} 004E20""",
    ),
    Dialogue(
        "a late command is refused, again when asked again, and never acts",
        """armed
        1000 > O 5EED0001 1 collect {+1000} 004E20
        1000 < N 0001 1 LATE
        2000 > O 5EED0001 1 collect {+1000} 004E20
        2000 < N 0001 1 LATE
        3000 > O 5EED0001 2 collect {+2999} 004E20
        3000 < N 0001 2 LATE
        4000 > O 5EED0001 3 collect {+4001} 004E20
        4000 < A 0001 3
        4001 gate collect
        24001 gate waste
        24001 < E 0001 3 {+4001} 004E20""",
        exact=True,
    ),
    Dialogue(
        "late by a tenth of a second: refused as often as asked",
        """armed
        1000 > O 5EED0001 1 collect {-100000} 030D40
        1000 < N 0001 1 LATE
        100000 > O 5EED0001 1 collect {-100000} 030D40
        100000 < N 0001 1 LATE
        300000 > PING 5EED0001 0001
        300000 < PONG 0001 0001 {+300000} {+300000} 0 00000000 00000000""",
    ),
    Dialogue(
        "ten seconds too far ahead, a second too long, of no length",
        """armed
        0 > O 5EED0001 1 collect {+70000000} 004E20
        0 < N 0001 1 FAR
        0 > O 5EED0001 2 collect {+1000000} 5B8D80
        0 < N 0001 2 LENGTH
        0 > O 5EED0001 3 collect {+9000000} 000000
        0 < N 0001 3 LENGTH""",
    ),
    Dialogue(
        "late across the wrap is late, not far",
        """armed
        5000 > O 5EED0001 1 collect {+1} 004E20
        5000 < N 0001 1 LATE""",
        start_us=0xFFFFFFFE,
    ),
    Dialogue(
        "too far ahead, too long, of no length",
        """armed
        0 > O 5EED0001 1 collect {+60000001} 004E20
        0 < N 0001 1 FAR
        0 > O 5EED0001 2 collect {+60000000} 004E20
        0 < A 0001 2
        0 > O 5EED0001 3 collect {+1000} 4C4B41
        0 < N 0001 3 LENGTH
        0 > O 5EED0001 4 collect {+1000} 4C4B40
        0 < A 0001 4
        0 > O 5EED0001 5 collect {+9000000} 000000
        0 < N 0001 5 LENGTH""",
        exact=True,
    ),
    Dialogue(
        "outlets that don't exist, and the rest outlet",
        """armed
        0 > O 5EED0001 1 sewer {+1000} 004E20
        0 < N 0001 1 OUTLET
        0 > O 5EED0001 2 waste {+1000} 004E20
        0 < N 0001 2 OUTLET
        0 > O 5EED0001 3 COLLECT {+1000} 004E20
        0 < N 0001 3 OUTLET""",
    ),
    Dialogue(
        "overlapping openings of one outlet act as their union",
        """armed
        0 > O 5EED0001 1 collect {+100000} 00C350
        0 < A 0001 1
        0 > O 5EED0001 2 collect {+120000} 00C350
        0 < A 0001 2
        0 > O 5EED0001 3 collect {+170000} 002710
        0 < A 0001 3
        100000 gate collect
        150000 < E 0001 1 {+100000} 00C350
        170000 < E 0001 2 {+120000} 00C350
        180000 gate waste
        180000 < E 0001 3 {+170000} 002710""",
    ),
    Dialogue(
        "an opening that overlaps one of another outlet is refused, one that touches is not",
        """armed
        0 > O 5EED0001 1 collect {+100000} 00C350
        0 < A 0001 1
        0 > O 5EED0001 2 recheck {+149999} 002710
        0 < N 0001 2 CONFLICT
        0 > O 5EED0001 3 recheck {+50000} 00C351
        0 < N 0001 3 CONFLICT
        0 > O 5EED0001 4 recheck {+110000} 002710
        0 < N 0001 4 CONFLICT
        0 > O 5EED0001 5 recheck {+50000} 00C350
        0 < A 0001 5
        0 > O 5EED0001 6 recheck {+150000} 002710
        0 < A 0001 6
        50000 gate recheck
        100000 gate collect
        100000 < E 0001 5 {+50000} 00C350
        150000 gate recheck
        150000 < E 0001 1 {+100000} 00C350
        160000 gate waste
        160000 < E 0001 6 {+150000} 002710""",
    ),
    Dialogue(
        "a refused id stays refused when the conflict has gone",
        """armed
        0 > O 5EED0001 1 collect {+100000} 00C350
        0 < A 0001 1
        0 > O 5EED0001 2 recheck {+120000} 002710
        0 < N 0001 2 CONFLICT
        1000 > CANCEL 5EED0001 1
        1000 < N 0001 1 CANCELLED
        2000 > O 5EED0001 2 recheck {+120000} 002710
        2000 < N 0001 2 CONFLICT""",
    ),
    Dialogue(
        "the queue is bounded; reports that nobody took count",
        """armed
        0 > O 5EED0001 1 collect {+100000} 002710
        0 < A 0001 1
        0 > O 5EED0001 2 collect {+200000} 002710
        0 < A 0001 2
        0 > O 5EED0001 3 collect {+300000} 002710
        0 < A 0001 3
        0 > O 5EED0001 4 collect {+400000} 002710
        0 < A 0001 4
        0 > O 5EED0001 5 collect {+500000} 002710
        0 < N 0001 5 FULL
        100000 gate collect
        110000 gate waste
        110000 < E 0001 1 {+100000} 002710
        111000 > O 5EED0001 6 collect {+500000} 002710
        111000 < N 0001 6 FULL
        112000 > D 5EED0001 1
        113000 > O 5EED0001 7 collect {+500000} 002710
        113000 < A 0001 7""",
    ),
    Dialogue(
        "cancelled while queued: never opens, and says so as often as asked",
        """armed
        0 > O 5EED0001 1 collect {+100000} 002710
        0 < A 0001 1
        50000 > CANCEL 5EED0001 1
        50000 < N 0001 1 CANCELLED
        60000 > CANCEL 5EED0001 1
        60000 < N 0001 1 CANCELLED
        70000 > D 5EED0001 1
        200000 > O 5EED0001 1 collect {+300000} 002710
        200000 < N 0001 1 CANCELLED
        400000 > PING 5EED0001 0001
        400000 < PONG 0001 0001 {+400000} {+400000} 0 00000000 00000000""",
    ),
    Dialogue(
        "cancelled while open: closes now, and reports",
        """armed
        0 > O 5EED0001 1 collect {+100000} 00C350
        0 < A 0001 1
        100000 gate collect
        120000 > CANCEL 5EED0001 1
        120000 gate waste
        120000 < E 0001 1 {+100000} 004E20
        130000 > CANCEL 5EED0001 1
        130000 < E 0001 1 {+100000} 004E20""",
    ),
    Dialogue(
        "cancelled before it came: its opening never acts",
        """armed
        0 > CANCEL 5EED0001 9
        0 < N 0001 9 CANCELLED
        1000 > O 5EED0001 9 collect {+100000} 00C350
        1000 < N 0001 9 CANCELLED
        200000 > PING 5EED0001 0001
        200000 < PONG 0001 0001 {+200000} {+200000} 0 00000000 00000000""",
    ),
    Dialogue(
        "one of two overlapping openings cancelled: the other holds the gate",
        """armed
        0 > O 5EED0001 1 collect {+100000} 00C350
        0 < A 0001 1
        0 > O 5EED0001 2 collect {+120000} 00C350
        0 < A 0001 2
        100000 gate collect
        130000 > CANCEL 5EED0001 1
        130000 < E 0001 1 {+100000} 007530
        170000 gate waste
        170000 < E 0001 2 {+120000} 00C350""",
    ),
    Dialogue(
        "rest: gate back now, queue empty, each command accounted for",
        """armed
        0 > O 5EED0001 1 collect {+100000} 00C350
        0 < A 0001 1
        0 > O 5EED0001 2 collect {+200000} 00C350
        0 < A 0001 2
        100000 gate collect
        110000 > REST 5EED0001 0007
        110000 gate waste
        110000 < E 0001 1 {+100000} 002710
        110000 < N 0001 2 RESTED
        110000 < RESTED 0001 0007
        111000 > REST 5EED0001 0007
        111000 < RESTED 0001 0007
        112000 > D 5EED0001 1 2
        300000 > O 5EED0001 2 collect {+200000} 00C350
        300000 < N 0001 2 RESTED""",
    ),
)
