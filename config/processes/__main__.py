"""The command `slipway`, which is `python manage.py` in a checkout: all of Slipway's commands, and `run`."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # while the modules load, Ctrl-C ends the process without a traceback

import argparse  # noqa: E402
import sys  # noqa: E402

from django.conf import settings  # noqa: E402
from django.core.management import execute_from_command_line  # noqa: E402

from config.environment.team_apps import faults_named  # noqa: E402
from config.startup import ending_on_faults, start, traced_command  # noqa: E402


def main() -> None:
    """Run the command that the arguments name: `run`, or one of Django's or of an app's."""
    if sys.argv[1:2] == ["run"]:
        run(sys.argv[2:])
    start()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with (
            ending_on_faults(is_service=False),
            faults_named(settings.TEAM_APPS),
            traced_command(sys.argv[1:]),
        ):
            execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        sys.exit(130)


def run(arguments: list[str]) -> None:
    """Start everything in the home folder. This is no command of Django, because those need the .env that it writes."""
    parser = argparse.ArgumentParser(
        prog="slipway run",
        description="Start everything, ready to use: site, workers, PostgreSQL, Redis, and a feed to poll. "
        "Ctrl-C stops it. The home folder (SLIPWAY_HOME, or else the current one) gets .env and var. "
        "Example: slipway run",
    )
    parser.parse_args(arguments)
    from config.dev.run import main  # other commands need not load it

    main()


if __name__ == "__main__":
    main()
