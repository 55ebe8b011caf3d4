"""The dispenser's firmware: MicroPython on the board, CPython behind a simulated port."""
