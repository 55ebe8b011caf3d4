"""The `sorter` command.

Nothing is imported here before `main` runs, so that Ctrl-C is answered from the first moment.
"""

from __future__ import annotations

import signal
import sys

INTERRUPTED = 130


def main() -> None:
    """Entry point of the command `sorter`."""
    try:
        from sorter.cli import (
            afterwards,
            calibrations,
            datasets,
            gans,
            looking,
            modelling,
            reviewing,
            rig,
        )
        from sorter.cli.app import app

        parts = (rig, looking, datasets, modelling, gans, calibrations, reviewing, afterwards)
        for module in parts:
            module.register(app)
        app()
    except KeyboardInterrupt:  # before or after a subcommand's own time
        sys.exit(INTERRUPTED)
    finally:
        # What is over can't be interrupted: a traceback would be all that comes of it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
