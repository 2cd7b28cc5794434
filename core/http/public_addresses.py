"""Which addresses of the network a request of ours may go to: the public internet, and nothing that is behind it.

Whoever gives us an address to call (an issuer, a webhook) must not reach through us what only we can reach.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

type Address = IPv4Address | IPv6Address

NOT_PUBLIC = tuple(
    ip_network(network)
    for network in (
        "::/96",  # IPv4-compatible: ::127.0.0.1 reaches 127.0.0.1 on some systems
        "64:ff9b::/96",  # NAT64: holds an IPv4 address, private ones too
        "2002::/16",  # 6to4: holds one as well
        "2001::/32",  # Teredo: and so does this
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # Azure's platform, from within any of its machines
        "fec0::/10",  # site-local: deprecated, and routed inside some networks still
    )
)
"""Blocked by name: `is_global` holds for some of them."""


def is_public(address: Address) -> bool:
    """Whether it lies in the public internet, whatever form of it was written."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
    if any(address in network for network in NOT_PUBLIC):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def is_loopback(address: Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def parse_address(text: str) -> Address:
    """As the resolver gives it. Raises `ValueError` for what is none."""
    return ip_address(text)
