from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "icrstore.ledger"
