"""Conformance of pulses, passages, switches and the LED."""

from __future__ import annotations

from drivers.conformance.dialogue import Dialogue

INPUTS = (
    Dialogue(
        "exposure pulses are counted and stamped, in a session or not",
        """1000 pulse
        2000 pulse
        10000 > HELLO 5EED0001 2 3E8
        10000 < READY 5EED0001 2 test 4 4C4B40 3938700 3E8 {+10000} waste,collect,recheck BOOT POWER 1
        11000 pulse
        12000 > PING 5EED0001 0001
        12000 < PONG 0001 0001 {+12000} {+12000} 0 00000003 {+11000}
        13000 > STATUS 5EED0001
        13000 < STATE 0001 {+13000} waste 0 0 0 0 0 0 0 0 0 0 POWER POWER 1 00000003 00 0,0
        14000 > HELLO 5EED0002 2 3E8
        14000 < {ready} {+14000} waste,collect,recheck SESSION POWER 1
        15000 > PING 5EED0002 0001
        15000 < PONG 0002 0001 {+15000} {+15000} 0 00000003 {+11000}""",  # noqa: E501
    ),
    Dialogue(
        "a passage is told of at once, and again until the host has it",
        """hello
        100000 dark collect 500
        100000 < G 0001 1 collect {+99500} 0001F4
        200000 dark waste 700
        200000 < G 0001 2 waste {+199300} 0002BC
        350000 < G 0001 1 collect {+99500} 0001F4
        450000 < G 0001 2 waste {+199300} 0002BC
        460000 > SEEN 5EED0001 1
        700000 < G 0001 2 waste {+199300} 0002BC
        710000 > SEEN 5EED0001 2
        1500000 > SEEN 5EED0001 2
        1600000 dark collect 10
        1600000 < G 0001 3 collect {+1599990} 00000A""",
    ),
    Dialogue(
        "a number that was not given yet says nothing",
        """hello
        100000 dark collect 500
        100000 < G 0001 1 collect {+99500} 0001F4
        110000 > SEEN 5EED0001 2
        120000 > SEEN 5EED0001 0
        120000 < N 0001 0 FORMAT
        350000 < G 0001 1 collect {+99500} 0001F4
        360000 > SEEN 5EED0001 1
        370000 dark collect 500
        370000 < G 0001 2 collect {+369500} 0001F4""",
    ),
    Dialogue(
        "numbers count from 1 in a session, and passages outside one are not kept",
        """50000 dark collect 500
        100000 > HELLO 5EED0002 2 3E8
        100000 < {ready} {+100000} waste,collect,recheck BOOT POWER 1
        200000 dark collect 500
        200000 < G 0002 1 collect {+199500} 0001F4
        300000 > HELLO 5EED0003 2 3E8
        300000 < READY 5EED0003 2 test 4 4C4B40 3938700 3E8 {+300000} waste,collect,recheck SESSION POWER 1
        600000 dark recheck 500
        600000 < G 0003 1 recheck {+599500} 0001F4""",  # noqa: E501
    ),
    Dialogue(
        "a passage that is longer than 24 bits, and one across the wrap",
        """hello
        2 dark collect 17000000
        2 < G 0001 1 collect {-16999998} FFFFFF
        3 > SEEN 5EED0001 1""",
        start_us=0xFFFFFFFF,
    ),
    Dialogue(
        "passages while the watchdog is tripped wait for the next contact",
        """hello
        1500000 dark collect 500
        1600000 dark collect 600
        2000000 > PING 5EED0001 0001
        2000000 < PONG 0001 0001 {+2000000} {+2000000} 1 00000000 00000000
        2000000 < G 0001 1 collect {+1499500} 0001F4
        2000000 < G 0001 2 collect {+1599400} 000258""",
    ),
    Dialogue(
        "the foot switch is told of at each change, bounces at most twice",
        """hello
        100000 pedal down
        100000 < I 0001 01
        101000 pedal up
        102000 pedal down
        103000 pedal up
        120000 < I 0001 00
        200000 pedal down
        200000 < I 0001 01
        201000 pedal up
        202000 pedal down
        300000 > STATUS 5EED0001
        300000 < STATE 0001 {+300000} waste 0 0 0 0 0 0 0 0 0 0 POWER POWER 1 00000000 01 0,0
        300000 pedal up
        300000 < I 0001 00""",
    ),
    Dialogue(
        "what is pressed when a session begins is told of after its handshake",
        """0 pedal down
        1000 > HELLO 5EED0002 2 3E8
        1000 < {ready} {+1000} waste,collect,recheck BOOT POWER 1
        1000 < I 0002 01
        500000 pedal up
        500000 < I 0002 00""",
    ),
    Dialogue(
        "a change while the watchdog is tripped waits for the next contact",
        """hello
        1500000 pedal down
        2000000 > PING 5EED0001 0001
        2000000 < PONG 0001 0001 {+2000000} {+2000000} 1 00000000 00000000
        2000000 < I 0001 01""",
    ),
    Dialogue(
        "after a silence of more than half the clock's round",
        """armed
        100000 > O 5EED0001 1 collect {+900000} 00C350
        100000 < A 0001 1
        900000 gate collect
        950000 gate waste
        950000 < E 0001 1 {+900000} 00C350
        990000 pedal down
        990000 < I 0001 01
        990000 dark collect 500
        990000 < G 0001 1 collect {+989500} 0001F4
        2500000000 pedal up
        2500000000 > PING 5EED0001 0003
        2500000000 < PONG 0001 0003 {+2500000000} {+2500000000} 1 00000000 00000000
        2500000000 < S 0001 0000 - WATCHDOG 1
        2500000000 < I 0001 00
        2500000000 < E 0001 1 {+900000} 00C350
        2500000000 < G 0001 1 collect {+989500} 0001F4""",
    ),
    Dialogue(
        "the LED comes on and goes off by the device's clock",
        """hello
        1000 > LED 5EED0001 0001 {+100000} 0003E8
        1000 < S 0001 0001 OK POWER 1
        100000 led on
        100500 > LED 5EED0001 0001 {+100000} 0003E8
        100500 < S 0001 0001 OK POWER 1
        101000 led off
        102000 > LED 5EED0001 0001 {+100000} 0003E8
        102000 < S 0001 0001 OK POWER 1
        200000 > PING 5EED0001 0002
        200000 < PONG 0001 0002 {+200000} {+200000} 0 00000000 00000000""",
    ),
    Dialogue(
        "a light that is on across the wrap of the 32-bit clock",
        """hello
        1000 > LED 5EED0001 0001 {+100000} 004E20
        1000 < S 0001 0001 OK POWER 1
        100000 led on
        120000 led off""",
        start_us=0xFFFFFFFF - 110_000,
    ),
    Dialogue(
        "a light that begins after the wrap",
        """hello
        1000 > LED 5EED0001 0001 {+100000} 004E20
        1000 < S 0001 0001 OK POWER 1
        100000 led on
        120000 led off""",
        start_us=0xFFFFFFFF - 50_000,
    ),
    Dialogue(
        "lights that can't be",
        """hello
        1000 > LED 5EED0001 0001 {+1000} 0003E8
        1000 < S 0001 0001 RANGE POWER 1
        1000 > LED 5EED0001 0002 {+999} 0003E8
        1000 < S 0001 0002 RANGE POWER 1
        1000 > LED 5EED0001 0003 {+60001001} 0003E8
        1000 < S 0001 0003 RANGE POWER 1
        1000 > LED 5EED0001 0004 {+2000} 000000
        1000 < S 0001 0004 RANGE POWER 1
        1000 > LED 5EED0001 0005 {+60001000} 0003E8
        1000 < S 0001 0005 OK POWER 1""",
        exact=True,
    ),
    Dialogue(
        "a later light replaces one, waiting or lit; a new session ends all",
        """hello
        1000 > LED 5EED0001 0001 {+100000} 00C350
        1000 < S 0001 0001 OK POWER 1
        2000 > LED 5EED0001 0002 {+200000} 00C350
        2000 < S 0001 0002 OK POWER 1
        200000 led on
        210000 > LED 5EED0001 0003 {+300000} 00C350
        210000 led off
        210000 < S 0001 0003 OK POWER 1
        300000 led on
        310000 > HELLO 5EED0002 2 3E8
        310000 led off
        310000 < {ready} {+310000} waste,collect,recheck SESSION POWER 1""",
    ),
)
