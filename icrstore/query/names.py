"""Names of protocols and ports, from IANA's registries: what a service report can call by name."""

PROTOCOLS = {
    1: "icmp", 2: "igmp", 4: "ipv4 (tunnel)", 6: "tcp", 17: "udp", 33: "dccp",
    41: "ipv6 (tunnel)", 47: "gre (tunnel)", 50: "esp (tunnel)", 51: "ah (tunnel)",
    58: "ipv6-icmp", 89: "ospf", 103: "pim", 115: "l2tp (tunnel)", 132: "sctp", 136: "udplite",
}  # fmt: skip

_EITHER = {
    53: "domain", 88: "kerberos", 123: "ntp", 137: "netbios-ns", 138: "netbios-dgm",
    139: "netbios-ssn", 161: "snmp", 389: "ldap", 443: "https", 445: "microsoft-ds",
    514: "syslog", 554: "rtsp", 853: "domain-s", 1194: "openvpn (tunnel)", 1900: "ssdp",
    3074: "xbox", 3389: "ms-wbt-server", 3478: "stun", 5060: "sip", 5061: "sips",
    5222: "xmpp-client", 5228: "hpvroom", 5353: "mdns", 6881: "bittorrent", 8080: "http-alt",
    8443: "pcsync-https",
}  # fmt: skip
_TCP = {
    20: "ftp-data", 21: "ftp", 22: "ssh", 23: "telnet", 25: "smtp", 80: "http", 110: "pop3",
    111: "sunrpc", 119: "nntp", 143: "imap", 179: "bgp", 465: "submissions", 563: "nntps",
    587: "submission", 631: "ipp", 636: "ldaps", 873: "rsync", 989: "ftps-data", 990: "ftps",
    993: "imaps", 995: "pop3s", 1080: "socks", 1433: "ms-sql-s", 1723: "pptp (tunnel)",
    1883: "mqtt", 1935: "macromedia-fcs", 3128: "squid", 3306: "mysql", 4190: "sieve",
    5223: "hpvirtgrp", 5432: "postgresql", 5900: "rfb", 6667: "ircu", 6697: "ircs-u",
    8883: "secure-mqtt", 9418: "git",
}  # fmt: skip
_UDP = {
    67: "bootps", 68: "bootpc", 69: "tftp", 500: "isakmp (tunnel)", 546: "dhcpv6-client",
    547: "dhcpv6-server", 1701: "l2tp (tunnel)", 3544: "teredo (tunnel)",
    4500: "ipsec-nat-t (tunnel)", 51820: "wireguard (tunnel)",
}  # fmt: skip
PORTS = {6: _EITHER | _TCP, 17: _EITHER | _UDP}


def service(protocol: int, port: int | None) -> str:
    """What the registries call it: ``https``, ``udp/51413`` where they are silent."""
    name = PROTOCOLS.get(protocol, f"protocol {protocol}")
    if port is None:
        return name
    return PORTS.get(protocol, {}).get(port, f"{name}/{port}")


def is_tunnel(name: str) -> bool:
    return name.endswith("(tunnel)")
