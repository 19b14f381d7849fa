"""Records checked before they are stored, as Django REST framework has it: a serializer, many=True.

It refuses what our store refuses (`icrstore.flow.validate`): what is no address, port or protocol,
a port where the protocol has none, a translated port without its address, a time that is too old or
to come, an account that is empty, too long, not NFC or has control characters.
"""

import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from rest_framework import serializers

Told = list[dict[str, Any]]

_OLDEST, _NEWEST = timedelta(hours=48), timedelta(minutes=5)
_PORTED = frozenset({6, 17, 33, 132, 136})
_PORTS = ("source_port", "destination_port", "post_nat_source_port")


def _port() -> Any:
    return serializers.IntegerField(required=False, min_value=0, max_value=65535)


# Their stubs want a type that the classes themselves do not take.
class _Many(serializers.ListSerializer):  # type: ignore[type-arg]
    def create(self, validated_data: list[dict[str, Any]]) -> Any:
        rows = [self.context["made"](fields) for fields in validated_data]
        return type(rows[0]).objects.bulk_create(rows)


class _Checked(serializers.ModelSerializer):  # type: ignore[type-arg]
    protocol = serializers.IntegerField(min_value=0, max_value=255)
    source_address = serializers.IPAddressField()
    source_port = _port()
    destination_address = serializers.IPAddressField()
    destination_port = _port()
    post_nat_source_address = serializers.IPAddressField(required=False)
    post_nat_source_port = _port()
    account = serializers.CharField(max_length=64, trim_whitespace=False)

    def validate_observed_at(self, at: datetime) -> datetime:
        now = self.context["now"]
        if not now - _OLDEST <= at <= now + _NEWEST:
            raise serializers.ValidationError("too old or in the future")
        return at

    def validate_account(self, account: str) -> str:
        if any(unicodedata.category(letter) == "Cc" for letter in account):
            raise serializers.ValidationError("a control character")
        if not unicodedata.is_normalized("NFC", account):
            raise serializers.ValidationError("not NFC")
        return account

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["protocol"] not in _PORTED and any(name in attrs for name in _PORTS):
            raise serializers.ValidationError("a port where the protocol has none")
        if "post_nat_source_port" in attrs and "post_nat_source_address" not in attrs:
            raise serializers.ValidationError("a translated port without its address")
        return attrs


def storing(of: Any, made: Callable[[dict[str, Any]], Any]) -> Callable[[Told], None]:
    """Checks and stores all of them, or none: rows of the model ``of``, which ``made`` makes of
    checked fields."""

    class Checked(_Checked):
        class Meta:
            model = of
            exclude = ("id", "account_lookup", "address_lookup")
            list_serializer_class = _Many

    def store(told: Told) -> None:
        context = {"made": made, "now": timezone.now()}
        checking = Checked(data=told, many=True, context=context)
        checking.is_valid(raise_exception=True)
        checking.save()

    return store
