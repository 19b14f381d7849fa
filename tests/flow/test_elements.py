"""The table of elements is the one place where a record's fields are named."""

from icrstore.flow.elements import ELEMENTS
from icrstore.flow.schema import UNITS, record_schema


def test_each_field_has_its_numbers_in_the_iana_registry() -> None:
    assert {element.name: element.ids for element in ELEMENTS} == {
        "observed_at": (322, 323, 324, 325),
        "protocol": (4,),
        "source_address": (8, 27),
        "source_port": (7,),
        "destination_address": (12, 28),
        "destination_port": (11,),
        "post_nat_source_address": (225, 281),
        "post_nat_source_port": (227,),
        "account": (371,),
    }


def test_the_columns_are_the_elements_in_order_in_every_unit() -> None:
    for unit in UNITS:
        schema = record_schema(unit)
        assert schema.names == [element.name for element in ELEMENTS]
        assert schema.field("observed_at").type.unit == unit
        assert schema.field("observed_at").type.tz == "UTC"


def test_only_what_every_packet_has_cannot_be_null() -> None:
    never_null = [field.name for field in record_schema("us") if not field.nullable]
    assert never_null == ["observed_at", "protocol", "source_address", "destination_address"]
