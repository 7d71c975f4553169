#!/usr/bin/env python
"""Slipway's commands: `python manage.py help`."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # while the modules load, Ctrl-C ends the process without a traceback

import sys  # noqa: E402

from django.core.management import execute_from_command_line  # noqa: E402

from config.startup import start, traced_command  # noqa: E402

if __name__ == "__main__":
    start()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with traced_command(sys.argv[1:]):
            execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        sys.exit(130)
