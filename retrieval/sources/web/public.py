"""Recognition of public internet addresses: those outside all private and reserved networks."""

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

# IANA's registries of special-purpose addresses, including multicast and reserved ones. They are
# listed here because `ipaddress.is_global` differs between versions of Python.
SPECIAL_4 = [
    IPv4Network(each)
    for each in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
GLOBAL_6 = IPv6Network("2000::/3")  # all that are assigned
SPECIAL_6 = [IPv6Network(each) for each in ("2001::/23", "2001:db8::/32", "3fff::/20")]
# IPv6 networks whose addresses contain an IPv4 address, and how many bits lie to its right.
MAPPED, NAT64, SIX_TO_FOUR = (
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
)
ISATAP = (0x00005EFE, 0x02005EFE)  # precede an IPv4 address at the end of any IPv6 address


def is_public(address: str) -> bool:
    """Return whether an address is public, and so is the IPv4 address it may contain."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in SPECIAL_4)
    for network, shift in (MAPPED, NAT64):
        if ip in network:
            return is_public(str(_within(ip, shift)))
    if ip not in GLOBAL_6 or any(ip in network for network in SPECIAL_6):
        return False
    if ip in SIX_TO_FOUR[0] and not is_public(str(_within(ip, SIX_TO_FOUR[1]))):
        return False
    is_isatap = int(ip) >> 32 & 0xFFFFFFFF in ISATAP
    return not is_isatap or is_public(str(_within(ip, 0)))


def _within(ip: IPv6Address, shift: int) -> IPv4Address:
    return IPv4Address(int(ip) >> shift & 0xFFFFFFFF)
