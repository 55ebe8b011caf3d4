"""Conformance of the emergency stop, the pump's hold and the lines."""

from __future__ import annotations

from drivers.conformance.dialogue import Dialogue

_STATE = "waste 0 0 0 0 0 0 0 0 0 0 POWER"

STOPS = (
    Dialogue(
        "latched from power-up on: nothing opens, nothing flows",
        """hello
        1000 > O 5EED0001 1 collect {+100000} 004E20
        1000 < N 0001 1 ESTOP
        2000 > FLOW 5EED0001 0001
        2000 < S 0001 0001 ESTOP POWER 1
        3000 > HOLD 5EED0001 0002
        3000 < S 0001 0002 OK POWER 1""",
    ),
    Dialogue(
        "cleared by the edge, and then held and at rest until the host says so",
        """hello
        1000 > RESET 5EED0001 0001 0
        1000 < S 0001 0001 OK POWER 1
        2000 > RESET 5EED0001 0002 1
        2000 < S 0001 0002 OK - 1
        3000 > FLOW 5EED0001 0003
        3000 pump flows
        3000 < S 0001 0003 OK - 0
        4000 > HOLD 5EED0001 0004
        4000 pump held
        4000 < S 0001 0004 OK - 1""",
    ),
    Dialogue(
        "level 1 without a level 0 clears nothing",
        """hello
        1000 > RESET 5EED0001 0001 1
        1000 < S 0001 0001 EDGE POWER 1
        2000 > RESET 5EED0001 0002 1
        2000 < S 0001 0002 EDGE POWER 1
        3000 > RESET 5EED0001 0003 0
        3000 < S 0001 0003 OK POWER 1
        4000 > RESET 5EED0001 0004 2
        4000 < S 0001 0004 RANGE POWER 1
        5000 > RESET 5EED0001 0005 1
        5000 < S 0001 0005 OK - 1
        6000 > RESET 5EED0001 0005 1
        6000 < S 0001 0005 OK - 1""",
    ),
    Dialogue(
        "a level 0 from before the latch does not count",
        """armed
        1000 > RESET 5EED0001 0003 0
        1000 < S 0001 0003 OK - 1
        2000 > STOP 5EED0001 0004
        2000 < S 0001 0004 OK HOST 1
        3000 > RESET 5EED0001 0005 1
        3000 < S 0001 0005 EDGE HOST 1
        4000 > RESET 5EED0001 0006 0
        4000 < S 0001 0006 OK HOST 1
        5000 > RESET 5EED0001 0007 1
        5000 < S 0001 0007 OK - 1""",
    ),
    Dialogue(
        "a stop between the levels asks for a new edge, and the first cause stays",
        """hello
        1000 > RESET 5EED0001 0001 0
        1000 < S 0001 0001 OK POWER 1
        2000 > STOP 5EED0001 0002
        2000 < S 0001 0002 OK POWER 1
        3000 > RESET 5EED0001 0003 1
        3000 < S 0001 0003 EDGE POWER 1""",
    ),
    Dialogue(
        "a level of an earlier session does not count, and its lines are refused",
        """hello
        1000 > RESET 5EED0001 0001 0
        1000 < S 0001 0001 OK POWER 1
        2000 > HELLO 5EED0002 2 3E8
        2000 < {ready} {+2000} waste,collect,recheck SESSION POWER 1
        3000 > RESET 5EED0001 0002 1
        3000 < N 0001 0 SESSION
        4000 > RESET 5EED0002 0001 1
        4000 < S 0002 0001 EDGE POWER 1
        5000 > STOP 5EED0001 0003
        5000 < N 0001 0 SESSION
        6000 > FLOW 5EED0001 0004
        6000 < N 0001 0 SESSION""",
    ),
    Dialogue(
        "stop from the host: hold, rest, the commands' ends, the answer",
        """flowing
        1000 > O 5EED0001 1 collect {+100000} 00C350
        1000 < A 0001 1
        1000 > O 5EED0001 2 collect {+200000} 00C350
        1000 < A 0001 2
        100000 gate collect
        110000 > STOP 5EED0001 0004
        110000 pump held
        110000 gate waste
        110000 < E 0001 1 {+100000} 002710
        110000 < N 0001 2 ESTOP
        110000 < S 0001 0004 OK HOST 1
        111000 > STOP 5EED0001 0004
        111000 < S 0001 0004 OK HOST 1
        112000 > D 5EED0001 1 2
        113000 > O 5EED0001 2 collect {+200000} 00C350
        113000 < N 0001 2 ESTOP
        114000 > FLOW 5EED0001 0005
        114000 < S 0001 0005 ESTOP HOST 1""",
    ),
    Dialogue(
        "the pin: hold, rest, the commands' ends, and the host is told unasked",
        """flowing
        1000 > O 5EED0001 1 collect {+100000} 00C350
        1000 < A 0001 1
        1000 > O 5EED0001 2 recheck {+200000} 00C350
        1000 < A 0001 2
        100000 gate collect
        110000 pin pressed
        110000 pump held
        110000 gate waste
        110000 < E 0001 1 {+100000} 002710
        110000 < N 0001 2 ESTOP
        110000 < S 0001 0000 - PIN 1
        110000 < I 0001 02
        111000 > D 5EED0001 1 2
        200000 pin released
        200000 < I 0001 00
        300000 > FLOW 5EED0001 0004
        300000 < S 0001 0004 ESTOP PIN 1""",
    ),
    Dialogue(
        "the pin with an edge that is due: the gate does not move at all",
        """armed
        1000 > O 5EED0001 1 collect {+100000} 00C350
        1000 < A 0001 1
        99999 pin pressed
        99999 < N 0001 1 ESTOP
        99999 < S 0001 0000 - PIN 1
        99999 < I 0001 02
        100000 > D 5EED0001 1
        300000 > PING 5EED0001 0001
        300000 < PONG 0001 0001 {+300000} {+300000} 0 00000000 00000000""",
    ),
    Dialogue(
        "no reset while the pin is pressed, and each edge is one try",
        """armed
        1000 pin pressed
        1000 < S 0001 0000 - PIN 1
        1000 < I 0001 02
        50000 > RESET 5EED0001 0003 0
        50000 < S 0001 0003 OK PIN 1
        51000 > RESET 5EED0001 0004 1
        51000 < S 0001 0004 PIN PIN 1
        60000 pin released
        60000 < I 0001 00
        61000 > RESET 5EED0001 0004 1
        61000 < S 0001 0004 EDGE PIN 1
        62000 > RESET 5EED0001 0005 0
        62000 < S 0001 0005 OK PIN 1
        63000 > RESET 5EED0001 0006 1
        63000 < S 0001 0006 OK - 1""",
    ),
    Dialogue(
        "the pin pressed between the levels asks for a new edge",
        """hello
        1000 > RESET 5EED0001 0001 0
        1000 < S 0001 0001 OK POWER 1
        2000 pin pressed
        2000 < I 0001 02
        50000 pin released
        50000 < I 0001 00
        51000 > RESET 5EED0001 0002 1
        51000 < S 0001 0002 EDGE POWER 1""",
    ),
    Dialogue(
        "the pin pressed while the device starts",
        """0 pin pressed
        1000 > HELLO 5EED0002 2 3E8
        1000 < {ready} {+1000} waste,collect,recheck BOOT POWER 1
        1000 < I 0002 02
        2000 > RESET 5EED0002 0001 0
        2000 < S 0002 0001 OK POWER 1
        3000 > RESET 5EED0002 0002 1
        3000 < S 0002 0002 PIN POWER 1""",
    ),
    Dialogue(
        "watchdog while open: hold, then rest; told at the next contact, still latched",
        """flowing
        0 > O 5EED0001 1 collect {+900000} 030D40
        0 < A 0001 1
        0 > O 5EED0001 2 collect {+1500000} 030D40
        0 < A 0001 2
        900000 gate collect
        1000000 pump held
        1000000 gate waste
        3000000 > O 5EED0001 3 collect {+3500000} 030D40
        3000000 < N 0001 3 ESTOP
        3000000 < S 0001 0000 - WATCHDOG 1
        3000000 < E 0001 1 {+900000} 0186A0
        3000000 < N 0001 2 WATCHDOG
        3001000 > D 5EED0001 1 2
        3002000 > FLOW 5EED0001 0004
        3002000 < S 0001 0004 ESTOP WATCHDOG 1
        3003000 > RESET 5EED0001 0005 0
        3003000 < S 0001 0005 OK WATCHDOG 1
        3004000 > RESET 5EED0001 0006 1
        3004000 < S 0001 0006 OK - 1
        3005000 > O 5EED0001 4 collect {+3100000} 002710
        3005000 < A 0001 4""",
    ),
    Dialogue(
        "watchdog with the pump flowing and nothing queued",
        """flowing
        1000000 pump held
        2000000 > PING 5EED0001 0004
        2000000 < PONG 0001 0004 {+2000000} {+2000000} 1 00000000 00000000
        2000000 < S 0001 0000 - WATCHDOG 1""",
    ),
    Dialogue(
        "watchdog with the pump held and nothing queued latches too",
        """armed
        2000000 > HOLD 5EED0001 0004
        2000000 < S 0001 0004 OK WATCHDOG 1
        2000000 < S 0001 0000 - WATCHDOG 1""",
    ),
    Dialogue(
        "watchdog while latched: the first cause stays, and a level 0 from before is forgotten",
        """hello
        1000 > RESET 5EED0001 0001 0
        1000 < S 0001 0001 OK POWER 1
        2000000 > RESET 5EED0001 0002 1
        2000000 < S 0001 0002 EDGE POWER 1""",
    ),
    Dialogue(
        "a new session while the pump flows latches",
        """flowing
        1000 > HELLO 5EED0002 2 3E8
        1000 pump held
        1000 < {ready} {+1000} waste,collect,recheck SESSION SESSION 1
        2000 > FLOW 5EED0002 0001
        2000 < S 0002 0001 ESTOP SESSION 1""",
    ),
    Dialogue(
        "a new session after one that left nothing running does not",
        """armed
        1000 > HELLO 5EED0002 2 3E8
        1000 < {ready} {+1000} waste,collect,recheck SESSION - 1
        2000 > FLOW 5EED0002 0001
        2000 pump flows
        2000 < S 0002 0001 OK - 0""",
    ),
    Dialogue(
        "the handshake said twice leaves the pump as it is",
        """flowing
        1000 > HELLO 5EED0001 2 3E8
        1000 < READY 5EED0001 2 test 4 4C4B40 3938700 3E8 {+1000} waste,collect,recheck BOOT - 0""",
    ),
    Dialogue(
        "flow and resets that were overtaken on the way do nothing; hold and stop always act",
        """flowing
        1000 > HOLD 5EED0001 0005
        1000 pump held
        1000 < S 0001 0005 OK - 1
        2000 > FLOW 5EED0001 0004
        2000 < S 0001 0004 OLD - 1
        3000 > FLOW 5EED0001 0006
        3000 pump flows
        3000 < S 0001 0006 OK - 0
        4000 > HOLD 5EED0001 0005
        4000 pump held
        4000 < S 0001 0005 OK - 1
        5000 > STOP 5EED0001 0004
        5000 < S 0001 0004 OK HOST 1
        5000 > HOLD 5EED0001 0007
        5000 < S 0001 0007 OK HOST 1
        6000 > RESET 5EED0001 0001 0
        6000 < S 0001 0001 OLD HOST 1
        7000 > RESET 5EED0001 0002 1
        7000 < S 0001 0002 OLD HOST 1
        8000 > RESET 5EED0001 0006 0
        8000 < S 0001 0006 OK HOST 1
        9000 > RESET 5EED0001 8005 1
        9000 < S 0001 8005 OK - 1
        10000 > FLOW 5EED0001 0008
        10000 < S 0001 0008 OLD - 1
        11000 > FLOW 5EED0001 8006
        11000 pump flows
        11000 < S 0001 8006 OK - 0""",
    ),
    Dialogue(
        "status without a session: at any time, and no sign of life",
        f"""0 > STATUS 00000000
        0 < STATE 0000 {{+0}} {_STATE} POWER 1 00000000 00 0,0
        0 > STATUS 5EED0001
        0 < N 0001 0 SESSION
        0 > PING 00000000 0001
        0 < N 0000 0 FORMAT
        hello
        900000 > STATUS 00000000
        900000 < STATE 0000 {{+900000}} {_STATE} POWER 1 00000000 00 0,0
        1500000 > STATUS 00000000
        1500000 < STATE 0000 {{+1500000}} waste 0 0 0 0 0 0 0 1 0 1 POWER POWER 1 00000000 00 0,0
        1500000 > PING 5EED0001 0001
        1500000 < PONG 0001 0001 {{+1500000}} {{+1500000}} 1 00000000 00000000""",
    ),
    Dialogue(
        "lines: the host's word, the hold, and the latch",
        """hello
        1000 > LINES 5EED0001 0001 01
        1000 < S 0001 0001 OK POWER 1
        2000 > RESET 5EED0001 0002 0
        2000 < S 0001 0002 OK POWER 1
        3000 > RESET 5EED0001 0003 1
        3000 lines ready,hold
        3000 < S 0001 0003 OK - 1
        4000 > FLOW 5EED0001 0004
        4000 pump flows
        4000 lines ready
        4000 < S 0001 0004 OK - 0
        5000 > LINES 5EED0001 0005 04
        5000 lines fault
        5000 < S 0001 0005 OK - 0
        6000 > LINES 5EED0001 0001 01
        6000 < S 0001 0001 OLD - 0
        7000 > LINES 5EED0001 0006 07
        7000 lines ready,fault
        7000 < S 0001 0006 OK - 0
        8000 > LINES 5EED0001 0007 08
        8000 < S 0001 0007 RANGE - 0
        9000 > STOP 5EED0001 0008
        9000 pump held
        9000 lines hold,fault
        9000 < S 0001 0008 OK HOST 1""",
    ),
    Dialogue(
        "orders that are none",
        """hello
        0 > HOLD 5EED0001 1
        0 < N 0001 0 FORMAT
        0 > HOLD 5EED0001
        0 < N 0001 0 FORMAT
        0 > FLOW 5EED0001 0001 1
        0 < N 0001 0 FORMAT
        0 > STOP 5EED0001 00001
        0 < N 0001 0 FORMAT
        0 > RESET 5EED0001 0001
        0 < N 0001 0 FORMAT
        0 > RESET 5EED0001 0001 01
        0 < N 0001 0 FORMAT
        0 > LINES 5EED0001 0001 1
        0 < N 0001 0 FORMAT
        0 > LED 5EED0001 0001 {+1000} 1000
        0 < N 0001 0 FORMAT
        0 > SEEN 5EED0001
        0 < N 0001 0 FORMAT
        0 > STATUS 00000000 1
        0 < N 0001 0 FORMAT""",
    ),
)
