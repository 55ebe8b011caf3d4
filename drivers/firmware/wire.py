"""Checks and numbers of the dispenser's lines, as drivers/PROTOCOL.md says; no hardware."""

# CRC-16/CCITT-FALSE a half byte at a time: 16 entries are cheap to keep in a microcontroller.
CRC_NIBBLES = (
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5, 0x60C6, 0x70E7,
    0x8108, 0x9129, 0xA14A, 0xB16B, 0xC18C, 0xD1AD, 0xE1CE, 0xF1EF,
)  # fmt: skip


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xFFFF, not reflected."""
    crc = 0xFFFF
    for byte in data:
        crc = ((crc << 4) & 0xFFFF) ^ CRC_NIBBLES[(crc >> 12) ^ (byte >> 4)]
        crc = ((crc << 4) & 0xFFFF) ^ CRC_NIBBLES[(crc >> 12) ^ (byte & 15)]
    return crc


def number(text: bytes, width: int = 0) -> int:
    """Value of upper-case hex digits, or -1. Width 0: 1 to 8 digits without leading zeros."""
    length = len(text)
    if width == 0:
        if length < 1 or length > 8 or (length > 1 and text[0] == 48):
            return -1
    elif length != width:
        return -1
    value = 0
    for byte in text:
        if 48 <= byte <= 57:
            value = value * 16 + byte - 48
        elif 65 <= byte <= 70:
            value = value * 16 + byte - 55
        else:
            return -1
    return value


def sooner(one: int, other: int) -> int:
    """The shorter of two waits; -1 stands for one that never ends."""
    if one < 0:
        return other
    if other < 0:
        return one
    return min(one, other)
