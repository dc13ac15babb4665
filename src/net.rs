//! Network addresses as limits count them. It opens no sockets.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address itself; for an IPv6 address, its network of 64 bits, all of which one host may use.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}
