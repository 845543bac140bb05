"""The command line: `overlay …`. It holds no logic of the gateway; it asks the daemon and prints the answer.

`app` is the command itself and the one place that turns errors into a line and an exit code; each other module
holds a few commands and is imported when one of them is used.
"""

import sys


def main() -> None:
    """The console script."""
    from gateway.cli.app import run, tell_internal_error

    sys.excepthook = tell_internal_error
    raise SystemExit(run())
