#!/bin/sh
# What a container runs: a process of the Procfile by its name (web, worker, slow, beat, stub), all of them with embedded
# servers (all-in-one), or else a command of manage.py (bootstrap, validate, ...).
set -fu

if [ "${1:-}" = all-in-one ]; then
    trap 'kill -TERM "$run"' TERM INT
    python -m config.dev.run &
    run=$!
    wait "$run" # ends early if a signal came
    wait "$run"
    status=$?
    # The kernel kills what is left as soon as this process ends, so it waits until the databases have stopped.
    flock var/watchdog.lock true
    exit "$status"
fi
command=$(awk -F ': exec ' -v name="${1:-}" '$1 == name { print $2 }' Procfile)
[ -z "$command" ] || exec $command
exec python manage.py "$@"
