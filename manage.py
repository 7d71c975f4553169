#!/usr/bin/env python
"""Slipway's commands: `python manage.py help`."""

from config.processes.__main__ import main

if __name__ == "__main__":
    main()
