"""NetFlow v5 and v9, IPFIX, and the NAT events in them (RFC 3954, 7011, 8158), as they are sent.

An export is cut into sets (`messages`), which templates say how to read (`templates`), a whole set
at once (`columns`); `reading` makes records and events of them, `times` says when they began,
`sequences` what is missing, `held` keeps what came too early, `feed` is all of it for datagrams as
they come, and `files` for those that lie in files.
"""

from .feed import Exports
from .files import are_exports, is_exports, read_exports, read_packets
from .templates import Templates

__all__ = ["Exports", "Templates", "are_exports", "is_exports", "read_exports", "read_packets"]
