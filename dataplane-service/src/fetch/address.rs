//! Which addresses are on the public Internet (IANA's special-purpose registries, RFC 6890), and so may be connected to
//! at the word of a client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

const NOT_PUBLIC_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 8),       // this network
    v4(10, 0, 0, 8),      // private
    v4(100, 64, 0, 10),   // carrier-grade NAT
    v4(127, 0, 0, 8),     // loopback
    v4(169, 254, 0, 16),  // link-local; clouds' metadata
    v4(172, 16, 0, 12),   // private
    v4(192, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 24),    // documentation
    v4(192, 31, 196, 24), // AS112
    v4(192, 88, 99, 24),  // 6to4 relays
    v4(192, 168, 0, 16),  // private
    v4(198, 18, 0, 15),   // benchmarks
    v4(198, 51, 100, 24), // documentation
    v4(203, 0, 113, 24),  // documentation
    v4(224, 0, 0, 4),     // multicast
    v4(240, 0, 0, 4),     // reserved, broadcast
];

/// All of global unicast; what is outside of it is refused without a list.
const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 3);
const NOT_PUBLIC_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23),     // protocol assignments, Teredo
    v6(0x2001, 0xdb8, 32), // documentation
    v6(0x2002, 0, 16),     // 6to4: any IPv4 address in disguise
    v6(0x3fff, 0, 20),     // documentation
];
/// An IPv4 address in the last 32 bits, which the network translates to (RFC 6052 §2.1).
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 96);

/// What may be connected to: the public Internet, and networks that the operator names beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reachable {
    also: Vec<IpNet>,
}

impl Reachable {
    /// `text`: addresses and networks, separated by commas.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let networks = parts.map(|part| {
            let network = part.parse::<IpNet>().ok().or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from));
            network.ok_or_else(|| format!("{part:?} is neither an address nor a network such as 127.0.0.0/8"))
        });
        Ok(Self { also: networks.collect::<Result<_, _>>()? })
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.also.iter().any(|network| network.contains(&address))
    }

    /// Without TLS: loopback alone, and only where the operator allows it, for development and tests.
    pub fn in_the_clear(&self, address: IpAddr) -> bool {
        address.to_canonical().is_loopback() && self.contains(address)
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !NOT_PUBLIC_V4.iter().any(|network| network.contains(&v4)),
        IpAddr::V6(v6) if NAT64.contains(&v6) => {
            let [.., a, b, c, d] = v6.octets();
            is_public(Ipv4Addr::new(a, b, c, d).into())
        }
        IpAddr::V6(v6) => GLOBAL_UNICAST.contains(&v6) && !NOT_PUBLIC_V6.iter().any(|network| network.contains(&v6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("8.8.8.8", true)]
    #[case("100.63.255.255", true)]
    #[case("100.64.0.1", false)]
    #[case("100.127.255.255", false)]
    #[case("100.128.0.0", true)]
    #[case("172.15.255.255", true)]
    #[case("172.16.0.1", false)]
    #[case("172.31.255.255", false)]
    #[case("172.32.0.0", true)]
    #[case("10.255.255.255", false)]
    #[case("192.168.1.1", false)]
    #[case("127.0.0.1", false)]
    #[case("127.255.255.254", false)]
    #[case("0.0.0.0", false)]
    #[case("0.1.2.3", false)]
    #[case("169.254.169.254", false)]
    #[case("198.19.255.255", false)]
    #[case("192.0.0.192", false)]
    #[case("224.0.0.1", false)]
    #[case("255.255.255.255", false)]
    #[case("::", false)]
    #[case("::1", false)]
    #[case("::127.0.0.1", false)]
    #[case("::ffff:127.0.0.1", false)]
    #[case("::ffff:10.0.0.1", false)]
    #[case("::ffff:169.254.169.254", false)]
    #[case("::ffff:8.8.8.8", true)]
    #[case("64:ff9b::8.8.8.8", true)]
    #[case("64:ff9b::127.0.0.1", false)]
    #[case("64:ff9b:1::1", false)]
    #[case("2002:7f00:1::", false)]
    #[case("2001::1", false)]
    #[case("2001:db8::1", false)]
    #[case("2606:4700::1111", true)]
    #[case("fe80::1", false)]
    #[case("fec0::1", false)]
    #[case("fd00:ec2::254", false)]
    #[case("ff02::1", false)]
    #[case("100::1", false)]
    fn public_or_not(#[case] address: IpAddr, #[case] expected: bool) {
        assert_eq!(Reachable::default().contains(address), expected);
    }

    #[test]
    fn what_the_operator_names_is_reachable_too_and_nothing_else() {
        let reachable = Reachable::parse("127.0.0.0/8, fd00::7").unwrap();
        for (address, expected) in [
            ("127.0.0.1", true),
            ("::ffff:127.9.9.9", true),
            ("fd00::7", true),
            ("::1", false),
            ("10.0.0.1", false),
            ("8.8.8.8", true),
        ] {
            assert_eq!(reachable.contains(address.parse().unwrap()), expected, "{address}");
        }
        assert!(reachable.in_the_clear("127.0.0.1".parse().unwrap()));
        assert!(!reachable.in_the_clear("fd00::7".parse().unwrap()), "not loopback");
        assert!(!Reachable::default().in_the_clear("127.0.0.1".parse().unwrap()));
        assert!(Reachable::parse("everything").is_err());
    }
}
