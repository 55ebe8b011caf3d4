"""How long what was written still takes to get to the device, at least; no clock and no I/O inside.

At 115,200 baud a command takes 4 ms, and a host that was held up has many to write. One that can't
come in time any more must not take the wire from those that can.
"""

from __future__ import annotations


class WireTime:
    """The bytes that are under way.

    Args:
        least_us_per_byte: time that a byte certainly takes, µs; 0 where that is not known.
    """

    def __init__(self, least_us_per_byte: float) -> None:
        self._ns_per_byte = least_us_per_byte * 1e3
        self._free_ns = 0.0

    def written(self, n_bytes: int, now_ns: int) -> None:
        """So many bytes were just handed to the port."""
        self._free_ns = max(self._free_ns, now_ns) + n_bytes * self._ns_per_byte

    def arrives_ns(self, n_bytes: int, now_ns: int) -> int:
        """Host time before which so many bytes, written now, can't all have arrived."""
        return int(max(self._free_ns, now_ns) + n_bytes * self._ns_per_byte)
