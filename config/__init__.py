"""The site as a whole: settings, URLs, Celery, the home page, embedded servers and the start of each process."""
