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
            doctor,
            gans,
            looking,
            modelling,
            reviewing,
            rig,
            simulations,
        )
        from sorter.cli.app import app

        # `simulations` adds to a group that `modelling` makes.
        running = (rig, doctor, modelling, simulations, calibrations)
        for module in (*running, looking, datasets, gans, reviewing, afterwards):
            module.register(app)
        app()
    except KeyboardInterrupt:  # before or after a subcommand's own time
        sys.exit(INTERRUPTED)
    finally:
        # What is over can't be interrupted: a traceback would be all that comes of it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
