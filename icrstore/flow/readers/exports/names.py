"""What the elements are called that a record has not, so that what stays here can be counted.

The names are those of the IANA registry "IP Flow Information Export (IPFIX) Entities".
"""

from .templates import Key

_REVERSE = 29305  # RFC 5103: the other direction's, under IANA's numbers

_NAMES = {
    1: "octetDeltaCount", 2: "packetDeltaCount", 3: "deltaFlowCount", 4: "protocolIdentifier",
    5: "ipClassOfService", 6: "tcpControlBits", 9: "sourceIPv4PrefixLength", 10: "ingressInterface",
    13: "destinationIPv4PrefixLength", 14: "egressInterface", 15: "ipNextHopIPv4Address",
    16: "bgpSourceAsNumber", 17: "bgpDestinationAsNumber", 18: "bgpNextHopIPv4Address",
    19: "postMCastPacketDeltaCount", 20: "postMCastOctetDeltaCount", 21: "flowEndSysUpTime",
    22: "flowStartSysUpTime", 23: "postOctetDeltaCount", 24: "postPacketDeltaCount",
    25: "minimumIpTotalLength", 26: "maximumIpTotalLength", 29: "sourceIPv6PrefixLength",
    30: "destinationIPv6PrefixLength", 31: "flowLabelIPv6", 32: "icmpTypeCodeIPv4", 33: "igmpType",
    34: "samplingInterval", 35: "samplingAlgorithm", 38: "engineType", 39: "engineId",
    44: "sourceIPv4Prefix", 45: "destinationIPv4Prefix", 46: "mplsTopLabelType",
    47: "mplsTopLabelIPv4Address", 48: "samplerId", 52: "minimumTTL", 53: "maximumTTL",
    54: "fragmentIdentification", 55: "postIpClassOfService", 56: "sourceMacAddress",
    57: "postDestinationMacAddress", 58: "vlanId", 59: "postVlanId", 60: "ipVersion",
    61: "flowDirection", 62: "ipNextHopIPv6Address", 63: "bgpNextHopIPv6Address",
    64: "ipv6ExtensionHeaders", 70: "mplsTopLabelStackSection", 71: "mplsLabelStackSection2",
    72: "mplsLabelStackSection3", 73: "mplsLabelStackSection4", 74: "mplsLabelStackSection5",
    75: "mplsLabelStackSection6", 80: "destinationMacAddress", 81: "postSourceMacAddress",
    82: "interfaceName", 83: "interfaceDescription", 85: "octetTotalCount", 86: "packetTotalCount",
    88: "fragmentOffset", 89: "forwardingStatus", 90: "mplsVpnRouteDistinguisher",
    91: "mplsTopLabelPrefixLength", 92: "srcTrafficIndex", 93: "dstTrafficIndex",
    94: "applicationDescription", 95: "applicationId", 96: "applicationName",
    98: "postIpDiffServCodePoint", 128: "bgpNextAdjacentAsNumber", 129: "bgpPrevAdjacentAsNumber",
    136: "flowEndReason", 138: "observationPointId", 139: "icmpTypeCodeIPv6",
    144: "exportingProcessId", 147: "wlanSSID", 148: "flowId", 150: "flowStartSeconds",
    151: "flowEndSeconds", 152: "flowStartMilliseconds", 153: "flowEndMilliseconds",
    154: "flowStartMicroseconds", 155: "flowEndMicroseconds", 156: "flowStartNanoseconds",
    157: "flowEndNanoseconds", 158: "flowStartDeltaMicroseconds", 159: "flowEndDeltaMicroseconds",
    160: "systemInitTimeMilliseconds", 161: "flowDurationMilliseconds",
    162: "flowDurationMicroseconds", 176: "icmpTypeIPv4", 177: "icmpCodeIPv4",
    178: "icmpTypeIPv6", 179: "icmpCodeIPv6", 184: "tcpSequenceNumber",
    185: "tcpAcknowledgementNumber", 186: "tcpWindowSize", 189: "ipHeaderLength",
    192: "ipTTL", 195: "ipDiffServCodePoint", 206: "isMulticast", 208: "ipv4Options",
    209: "tcpOptions", 224: "ipTotalLength", 226: "postNATDestinationIPv4Address",
    228: "postNAPTDestinationTransportPort", 229: "natOriginatingAddressRealm",
    231: "initiatorOctets", 232: "responderOctets", 233: "firewallEvent", 234: "ingressVRFID",
    235: "egressVRFID", 236: "VRFname", 239: "biflowDirection", 243: "dot1qVlanId",
    244: "dot1qPriority", 245: "dot1qCustomerVlanId", 252: "ingressPhysicalInterface",
    253: "egressPhysicalInterface", 256: "ethernetType", 258: "collectionTimeMilliseconds",
    278: "newConnectionDeltaCount", 279: "connectionSumDurationSeconds",
    282: "postNATDestinationIPv6Address", 283: "natPoolId", 284: "natPoolName",
    295: "IPSecSPI", 298: "initiatorPackets", 299: "responderPackets", 302: "selectorId",
    305: "samplingPacketInterval", 312: "dataLinkFrameSize", 315: "dataLinkFrameSection",
    322: "observationTimeSeconds", 323: "observationTimeMilliseconds",
    324: "observationTimeMicroseconds", 325: "observationTimeNanoseconds",
    346: "privateEnterpriseNumber", 351: "layer2SegmentId", 352: "layer2OctetDeltaCount",
    363: "portRangeStepSize", 365: "staMacAddress", 366: "staIPv4Address", 367: "wtpMacAddress",
    408: "dataLinkFrameType", 456: "mibObjectValueOID", 459: "httpRequestMethod",
    460: "httpRequestHost", 461: "httpRequestTarget", 468: "httpUserAgent",
    471: "maxSessionEntries", 472: "maxBIBEntries", 473: "maxEntriesPerUser",
    482: "ingressInterfaceName",
}  # fmt: skip


def name_of(key: Key) -> str:
    """The element's name; where it has none here, its number after its enterprise's."""
    if key.enterprise == _REVERSE:
        return f"reverse {name_of(Key(0, key.number))}"
    if key.enterprise:
        return f"element {key.enterprise}/{key.number}"
    return _NAMES.get(key.number, f"element {key.number}")
