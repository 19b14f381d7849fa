from django.apps import AppConfig


class VaultConfig(AppConfig):
    name = "icrstore.vault"
