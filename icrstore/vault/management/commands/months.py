"""Make the month partitions that are missing."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from icrstore.vault.months import make_months


class Command(BaseCommand):
    help = "Make the month partitions around today that are missing. Safe to run at any time."

    def handle(self, *args: Any, **options: Any) -> None:
        months = ", ".join(map(str, make_months(timezone.now())))
        self.stdout.write(f"partitions are there for: {months}")
