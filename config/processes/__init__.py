"""The Procfile that lists all processes, gunicorn's settings, and the command `slipway`, which manage.py runs too."""
