"""Whoever imports from here has Django's models ready, though no database yet."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "icrstore.settings")
django.setup()
