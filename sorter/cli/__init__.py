"""The `sorter` command."""

from __future__ import annotations

from sorter.cli.app import main

__all__ = ["main"]
