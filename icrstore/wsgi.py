"""The web process: takes batches, warrants and requests, serves what is public, opens nothing."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "icrstore.settings")
application = get_wsgi_application()
