#!/usr/bin/env python
"""Slipway's commands: `python manage.py help`."""

import sys

from django.core.management import execute_from_command_line

from config.startup import load_apps, start

if __name__ == "__main__":
    start()
    load_apps()
    execute_from_command_line(sys.argv)
