#!/bin/sh -e
# Collect the static files while an image is built. The settings need a key and addresses: these are for this command only,
# which connects to nothing, and no layer holds them.
export SECRET_KEY=for-this-command-only-which-signs-nothing SITE_URL=http://127.0.0.1
export DATABASE_URL=postgres://nowhere/nothing REDIS_URL=redis://nowhere
.venv/bin/python manage.py shell -v 0 -c "from config.bootstrap import collect_static; collect_static()"
chown -R slipway:slipway var
