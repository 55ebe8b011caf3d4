"""Conformance of sessions, the watchdog and lines."""

from __future__ import annotations

from drivers.conformance.dialogue import Dialogue

SESSIONS = (
    Dialogue(
        "watchdog: rest and empty queue when the host is silent, told at the next contact",
        """armed
        0 > O 5EED0001 1 collect {+900000} 030D40
        0 < A 0001 1
        0 > O 5EED0001 2 collect {+1500000} 030D40
        0 < A 0001 2
        900000 gate collect
        1000000 gate waste
        3000000 > PING 5EED0001 0001
        3000000 < PONG 0001 0001 {+3000000} {+3000000} 1 00000000 00000000
        3000000 < S 0001 0000 - WATCHDOG 1
        3000000 < E 0001 1 {+900000} 0186A0
        3000000 < N 0001 2 WATCHDOG""",
    ),
    Dialogue(
        "damaged lines are not contact: the watchdog trips",
        """armed
        0 > O 5EED0001 1 collect {+900000} 030D40
        0 < A 0001 1
        600000 raw PING 5EED0001 0001*0000
        600000 < N 0001 0 CRC
        900000 gate collect
        1000000 gate waste""",
    ),
    Dialogue(
        "what is a sign of life, and what is answered in the watchdog's silence",
        """armed
        900000 > JUMP 5EED0001
        900000 < N 0001 0 FORMAT
        1500000 > HELLO 5EED0001 3 3E8
        1500000 < N 0001 0 VERSION
        2000000 raw noise
        2000000 < N 0001 0 CRC
        2100000 > PING 0BADC0DE 0001
        2100000 < N C0DE 0 SESSION
        2200000 > STATUS 00000000
        2200000 < STATE 0000 {+2200000} waste 0 0 0 0 0 0 1 1 0 2 POWER WATCHDOG 1 00000000 00 0,0
        2300000 > PING 5EED0001 0001
        2300000 < PONG 0001 0001 {+2300000} {+2300000} 1 00000000 00000000
        2300000 < S 0001 0000 - WATCHDOG 1""",
    ),
    Dialogue(
        "receipts: of unknown ids they mean nothing, and one wrong word spoils a line",
        """armed
        1000 > D 5EED0001 7
        2000 > CANCEL 5EED0001 8
        2000 < N 0001 8 CANCELLED
        3000 > O 5EED0001 9 sewer {+100000} 004E20
        3000 < N 0001 9 OUTLET
        4000 > D 5EED0001 9 08
        4000 < N 0001 0 FORMAT""",
    ),
    Dialogue(
        "before any session nothing acts",
        """0 > O 5EED0001 1 collect {+1000} 004E20
        0 < N 0001 1 SESSION
        0 > PING 5EED0001 0001
        0 < N 0001 0 SESSION
        0 > REST 5EED0001 0001
        0 < N 0001 0 SESSION""",
    ),
    Dialogue(
        "a new session empties the queue, and the old one's lines are refused",
        """armed
        0 > O 5EED0001 1 collect {+100000} 00C350
        0 < A 0001 1
        0 > O 5EED0001 2 collect {+200000} 00C350
        0 < A 0001 2
        100000 gate collect
        110000 > PING 5EED0001 0001
        110000 < PONG 0001 0001 {+110000} {+110000} 0 00000000 00000000
        120000 > HELLO 5EED0002 2 3E8
        120000 gate waste
        120000 < {ready} {+120000} waste,collect,recheck SESSION SESSION 1
        121000 > O 5EED0001 3 collect {+200000} 004E20
        121000 < N 0001 3 SESSION
        122000 > CANCEL 5EED0001 1
        122000 < N 0001 1 SESSION
        123000 > HELLO 5EED0001 2 3E8
        123000 < N 0001 0 SESSION
        124000 > RESET 5EED0002 0001 0
        124000 < S 0002 0001 OK SESSION 1
        124000 > RESET 5EED0002 0002 1
        124000 < S 0002 0002 OK - 1
        124000 > O 5EED0002 1 collect {+150000} 002710
        124000 < A 0002 1
        150000 gate collect
        160000 gate waste
        160000 < E 0002 1 {+150000} 002710""",
        exact=True,
    ),
    Dialogue(
        "the handshake said twice changes nothing",
        """armed
        0 > O 5EED0001 1 collect {+100000} 002710
        0 < A 0001 1
        1000 > HELLO 5EED0001 2 3E8
        1000 < READY 5EED0001 2 test 4 4C4B40 3938700 3E8 {+1000} waste,collect,recheck BOOT - 1
        100000 gate collect
        110000 gate waste
        110000 < E 0001 1 {+100000} 002710""",
    ),
    Dialogue(
        "after the watchdog a new session says so",
        """armed
        1500000 > HELLO 5EED0002 2 3E8
        1500000 < {ready} {+1500000} waste,collect,recheck WATCHDOG WATCHDOG 1""",
    ),
    Dialogue(
        "handshakes that can't be",
        """0 > HELLO 5EED0001 1 3E8
        0 < N 0001 0 VERSION
        0 > HELLO 5EED0001 3 3E8
        0 < N 0001 0 VERSION
        0 > HELLO 5EED0001 2 31
        0 < N 0001 0 RANGE
        0 > HELLO 5EED0001 2 2711
        0 < N 0001 0 RANGE
        0 > HELLO 00000000 2 3E8
        0 < N 0000 0 FORMAT
        0 > HELLO 5EED0001 2
        0 < N 0001 0 FORMAT
        0 > PING 5EED0001 0001
        0 < N 0001 0 SESSION""",
    ),
    Dialogue(
        "lines that are none",
        """armed
        0 raw
        0 raw O 5EED0001 1 collect 00120000 004E20*0000
        0 < N 0001 0 CRC
        0 raw *FFFF
        0 < N 0001 0 CRC
        0 > JUMP 5EED0001 1
        0 < N 0001 0 FORMAT
        0 > O 5EED0001 01 collect {+1000} 004E20
        0 < N 0001 0 FORMAT
        0 > O 5EED0001 0 collect {+1000} 004E20
        0 < N 0001 0 FORMAT
        0 > O 5EED0001 1 collect  {+1000} 004E20
        0 < N 0001 0 FORMAT
        0 > O 5EED0001 1 collect {+1000} 4E20
        0 < N 0001 0 FORMAT
        0 > O 5eed0001 1 collect {+1000} 004E20
        0 < N 0001 0 FORMAT
        0 > D 5EED0001
        0 < N 0001 0 FORMAT""",
    ),
    Dialogue(
        "counters",
        """armed
        0 > O 5EED0001 1 collect {+100000} 002710
        0 < A 0001 1
        0 > O 5EED0001 2 sewer {+100000} 002710
        0 < N 0001 2 OUTLET
        0 raw noise
        0 < N 0001 0 CRC
        0 > STATUS 5EED0001
        0 < STATE 0001 {+0} waste 1 0 0 1 0 1 1 0 0 0 POWER - 1 00000000 00 0,0
        100000 gate collect
        105000 > STATUS 5EED0001
        105000 < STATE 0001 {+105000} collect 1 0 0 1 0 1 1 0 1 0 POWER - 1 00000000 00 1,0
        110000 gate waste
        110000 < E 0001 1 {+100000} 002710
        120000 > STATUS 5EED0001
        120000 < STATE 0001 {+120000} waste 0 1 1 1 1 1 1 0 2 0 POWER - 1 00000000 00 1,0""",
        exact=True,
    ),
)
