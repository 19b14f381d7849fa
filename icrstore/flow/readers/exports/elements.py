"""Which elements of NetFlow and IPFIX are a record's fields, and what the others are called.

Names are those of the IANA registry "IP Flow Information Export Entities", and of their vendors for
what is not there. What has no name here is shown by its number.
"""

from typing import NamedTuple

from .templates import Key

NOKIA, PROCERA = 637, 15397


def _iana(*numbers: int) -> tuple[Key, ...]:
    return tuple(Key(0, number) for number in numbers)


# Of each of these, the first that a record has is its field. Those above 32,767 are v9's: 4000x of
# Cisco's ASA, 56702 of Palo Alto.
PROTOCOL = _iana(4)
SOURCE_PORT = _iana(7, 180, 182)
DESTINATION_PORT = _iana(11, 181, 183)
POST_NAT_SOURCE_PORT = _iana(227, 40003)
RANGE_START, RANGE_END, RANGE_STEP, RANGE_PORTS = (_iana(each) for each in (361, 362, 363, 364))
NAT_EVENT = _iana(230)
NAT_REALM = _iana(229)
FIREWALL_EVENT = _iana(233, 40005)
# One packet of so many; or after so many, as many are passed over.
SAMPLED_OF, SAMPLED_PASSED_OVER = _iana(34, 50), _iana(306)
SYSTEM_INIT = Key(0, 160)  # milliseconds: since when sysUpTime counts in IPFIX


class AddressKeys(NamedTuple):
    """The same address in both versions of IP: a record has one, or zeros in the other."""

    four: tuple[Key, ...]
    six: tuple[Key, ...]


SOURCE = AddressKeys(_iana(8), _iana(27))
DESTINATION = AddressKeys(_iana(12), _iana(28))
POST_NAT_SOURCE = AddressKeys(_iana(225, 40001), _iana(281))

# Who the subscriber is, as text.
ACCOUNTS = (*_iana(371, 40000, 56702), Key(PROCERA, 28))
# Nokia's natSubString is "SUBSCRIBER@INSIDE-ADDRESS", with "LSN-Host" and the like for one that has
# no name. Where it is, a source address is the *outside* one (SR OS, template format 1), and a
# flow's end has a template of its own, with flowEndReason and without a start.
NAT_SUBSCRIBER = Key(NOKIA, 93)
NAMELESS_ENDING = "-Host"
FLOW_END_REASON = Key(0, 136)

# natEvent (RFC 8158 section 4.3): what begins and what ends a translation, and what only says that
# addresses, ports or a quota ran out. 0 is no event.
CREATES = (1, 4, 6, 8, 10, 14, 16)
DELETES = (2, 5, 7, 9, 11, 15, 17)
LIMITS = (3, 12, 13, 18)
# Before RFC 8158 its draft had other numbers, which Juniper sends: these, where a limit has none of
# both addresses, are an address that is bound and one that is no longer.
DRAFTS_CREATE, DRAFTS_DELETE = 12, 13
FROM_OUTSIDE = 2  # of natOriginatingAddressRealm: the source is no subscriber
DENIED = 3  # of firewallEvent

PADDING = frozenset(_iana(0, 210))
KEPT = frozenset(
    {NAT_SUBSCRIBER, *ACCOUNTS, *PROTOCOL, *SOURCE_PORT, *DESTINATION_PORT, *POST_NAT_SOURCE_PORT}
    | {*RANGE_START, *RANGE_END, *RANGE_STEP, *RANGE_PORTS, *NAT_EVENT}
    | {key for keys in (SOURCE, DESTINATION, POST_NAT_SOURCE) for both in keys for key in both}
)
