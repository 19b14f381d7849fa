"""Settings: everything from the environment; ICR_ROLE says which process this is.

ICR_VAR           state folder (default ./var)
ICR_ROLE          web, sealer, engine, notifier, janitor, beat or admin: names the process and its
                  secrets
ICR_SECRETS       folder of this role's keys (default ICR_VAR/secrets/ICR_ROLE)
ICR_DATABASE_URL  libpq URL without a password (``passfile=`` names the file that has it)
ICR_BROKER_URL    Redis or Valkey, without a password (ICR_SECRETS/broker.password has it, as a
                  URL would); carries "look", never content
ICR_AUTHORITY     the name and port by which callers reach this server, which they sign
ICR_ENGINE        the name under which keepers pin this engine's identity
ICR_KEEPERS       ``operator=unix:/path,oversight=unix:/path`` or http:// addresses
ICR_SMTP          ``host:port`` of the mail server; without one messages become files in ICR_OUTBOX
ICR_SMTP_STARTTLS ``0`` to speak to it in the clear (a relay on this host); else a certificate holds
ICR_MAIL_FROM     the address that messages to subscribers come from
ICR_OUTBOX        folder of .eml files (default ICR_VAR/outbox)
ICR_SIGN_IN_URL   where subscribers sign in, up to the tenant's name, as messages tell them
"""

import os
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from icrstore.shell.harden import read_private

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("ICR_VAR", BASE_DIR / "var"))
ROLE = os.environ.get("ICR_ROLE", "admin")
SECRETS = Path(os.environ.get("ICR_SECRETS", VAR / "secrets" / ROLE))
# What anyone may know: the keys by which strangers check this installation, and the key to which
# web seals what only the engine may read. Written by the installer, read by every role.
TRUST = VAR / "public" / "trust.json"
WITNESSES = VAR / "public" / "witnesses.txt"
ENGINE_STORAGE_KEY = VAR / "public" / "engine-storage.json"
# To which contacts are sealed; only the notifier opens them.
NOTIFIER_KEY = VAR / "public" / "notifier.json"
ENGINE = os.environ.get("ICR_ENGINE", "engine-1")
AUTHORITY = os.environ.get("ICR_AUTHORITY", "127.0.0.1:8080")
KEEPERS = dict(
    part.split("=", 1) for part in os.environ.get("ICR_KEEPERS", "").split(",") if "=" in part
)
# Then they guard nothing from this host's owner, and every answer and page says so.
ONE_HOST = bool(KEEPERS) and all(address.startswith("unix:") for address in KEEPERS.values())


def _secret_key() -> str:
    """Django's own key; nothing here is signed with it, so a process without one makes one."""
    path = SECRETS / "django.secret"
    if not path.exists():
        return os.urandom(32).hex()
    return read_private(path).decode().strip()


def _database(url: str) -> dict[str, object]:
    parts = conninfo_to_dict(url) if url else {}
    passfile = Path(str(parts.get("passfile", "")))
    if passfile.is_file():
        # libpq passes over one that others can read, and then lacks a password.
        read_private(passfile)
    names = {"NAME": "dbname", "USER": "user", "HOST": "host", "PORT": "port"}
    return {
        "ENGINE": "django.db.backends.postgresql",
        **{key: str(parts.pop(part, "") or "") for key, part in names.items()},
        # Values go beside a statement, bytes as they are: a body spelled out within one costs as
        # much again as all else that is done with it.
        # Planned once are only the statements that ask for it (`accounts.exchange`): other plans go
        # by their values.
        "OPTIONS": {**parts, "server_side_binding": True, "prepare_threshold": 1 << 30},
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


SECRET_KEY = _secret_key()
DEBUG = False
ALLOWED_HOSTS = ["*"]  # no page is built from the Host header
ROOT_URLCONF = "icrstore.urls"
WSGI_APPLICATION = "icrstore.wsgi.application"
INSTALLED_APPS = [
    "accounts",
    "icrstore.ledger",
    "icrstore.inbox",
    "icrstore.vault",
    "icrstore.query",
    "icrstore.notices",
    "icrstore.retention",
]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware"]
DATABASES = {"default": _database(os.environ.get("ICR_DATABASE_URL", ""))}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "api" / "pages" / "templates"],
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
NUMBER_GROUPING = 3
# Bodies are read as streams with a limit of our own (`api.collectors`).
DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 20

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "EXCEPTION_HANDLER": "api.problems.handle",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "filters": {"quiet": {"()": "icrstore.quiet.Quiet"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["quiet"]}
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    # A request that fails must not print what it carried.
    "loggers": {"django.request": {"level": "CRITICAL"}},
}

SMTP = os.environ.get("ICR_SMTP", "")
SMTP_STARTTLS = os.environ.get("ICR_SMTP_STARTTLS", "1") != "0"
MAIL_FROM = os.environ.get("ICR_MAIL_FROM", "access-record@localhost")
OUTBOX = Path(os.environ.get("ICR_OUTBOX", VAR / "outbox"))
SIGN_IN_URL = os.environ.get("ICR_SIGN_IN_URL", f"http://{AUTHORITY}/access/")


def _broker(url: str) -> str:
    """With the password from its file, where there is one."""
    path = SECRETS / "broker.password"
    if not path.exists():
        return url
    scheme, _, rest = url.partition("://")
    netloc, slash, where = rest.partition("/")
    user, _, host = netloc.rpartition("@")
    password = read_private(path).decode().strip()
    return f"{scheme}://{user}:{password}@{host}{slash}{where}"


BROKER_URL = _broker(os.environ.get("ICR_BROKER_URL", "redis://127.0.0.1:6379/0"))
