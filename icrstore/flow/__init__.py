"""What a record is: its elements, its columns, and the readers of foreign formats."""

from .errors import BatchRefused, FlowRefused, FormatRefused
from .schema import PORT_PROTOCOLS, address_bytes, address_text, record_schema
from .validate import Scope, Verdict, validate

__all__ = [
    "PORT_PROTOCOLS",
    "BatchRefused",
    "FlowRefused",
    "FormatRefused",
    "Scope",
    "Verdict",
    "address_bytes",
    "address_text",
    "record_schema",
    "validate",
]
