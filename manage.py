#!/usr/bin/env python
"""Slipway's commands: `python manage.py help`."""

import sys

from config.startup import start

if __name__ == "__main__":
    start()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
