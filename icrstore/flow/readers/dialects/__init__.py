"""What firewalls and NATs write, line by line: syslog and the logs of programs, in any mixture.

Each line is read by itself, by the one dialect that knows how it begins; what two would know is
refused. The line's own time counts, and its header's where it has none. Dialects are data: see
`dialect`, and the TOML files beside it.

A session that began with a translation, and a translation, are NAT events; a session that began
without one is a connection. Nothing that was blocked is one, and no session's end.
"""

from .radius import is_radius, read_radius
from .reader import is_syslog, read_syslog

__all__ = ["is_radius", "is_syslog", "read_radius", "read_syslog"]
