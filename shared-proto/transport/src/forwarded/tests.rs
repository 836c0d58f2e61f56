use rstest::rstest;

use super::*;

fn origin(trusted: &str, header: ForwardingHeader, peer: &str, headers: &[(&str, &str)]) -> Origin {
    let proxies = TrustedProxies::parse(trusted, header).unwrap();
    proxies.origin(peer.parse().unwrap(), |name| {
        headers.iter().filter(move |(key, _)| *key == name).map(|(_, value)| *value).collect::<Vec<_>>()
    })
}

#[rstest]
#[case::nobody_is_trusted("", "192.0.2.1", &["198.51.100.7"], "192.0.2.1")]
#[case::a_stranger_is_not("10.0.0.0/8", "192.0.2.1", &["198.51.100.7"], "192.0.2.1")]
#[case::a_proxy_is("10.0.0.0/8", "10.1.2.3", &["198.51.100.7"], "198.51.100.7")]
#[case::what_the_client_wrote_is_not("10.0.0.0/8", "10.1.2.3", &["127.0.0.1, 198.51.100.7"], "198.51.100.7")]
#[case::not_even_a_proxys_address("10.0.0.0/8", "10.1.2.3", &["203.0.113.9, 10.9.9.9, 198.51.100.7"], "198.51.100.7")]
#[case::two_proxies("10.0.0.0/8", "10.1.2.3", &["1.1.1.1, 198.51.100.7, 10.0.0.9"], "198.51.100.7")]
#[case::two_headers_are_one_list("10.0.0.0/8", "10.1.2.3", &["1.1.1.1, 198.51.100.7", "10.0.0.9"], "198.51.100.7")]
#[case::proxies_only("10.0.0.0/8", "10.1.2.3", &["10.0.0.8, 10.0.0.9"], "10.0.0.8")]
#[case::no_header("10.0.0.0/8", "10.1.2.3", &[], "10.1.2.3")]
#[case::unreadable("10.0.0.0/8", "10.1.2.3", &["198.51.100.7, unknown"], "10.1.2.3")]
#[case::unreadable_behind_a_proxy("10.0.0.0/8", "10.1.2.3", &["198.51.100.7, _hidden, 10.0.0.9"], "10.0.0.9")]
#[case::empty_elements("10.0.0.0/8", "10.1.2.3", &["198.51.100.7, ,"], "10.1.2.3")]
#[case::with_port("10.0.0.0/8", "10.1.2.3", &["198.51.100.7:4711"], "198.51.100.7")]
#[case::v6("2001:db8::/32", "2001:db8::1", &["2001:470::7"], "2001:470::7")]
#[case::v6_with_port("2001:db8::/32", "2001:db8::1", &["[2001:470::7]:99"], "2001:470::7")]
#[case::mapped("10.0.0.0/8", "::ffff:10.1.2.3", &["::ffff:198.51.100.7"], "198.51.100.7")]
#[case::single_addresses("10.1.2.3, 10.0.0.9", "10.1.2.3", &["198.51.100.7, 10.0.0.9"], "198.51.100.7")]
#[case::everybody("0.0.0.0/0", "192.0.2.1", &["1.1.1.1, 198.51.100.7"], "1.1.1.1")]
fn the_right_most_address_that_is_no_proxy_of_ours_counts(
    #[case] trusted: &str,
    #[case] peer: &str,
    #[case] values: &[&str],
    #[case] address: &str,
) {
    let headers: Vec<_> = values.iter().map(|value| ("x-forwarded-for", *value)).collect();
    let found = origin(trusted, ForwardingHeader::XForwardedFor, peer, &headers);
    assert_eq!(found.address, address.parse::<IpAddr>().unwrap());
    // The same in the words of RFC 7239.
    let element = |value: &str| {
        let parts = value.split(',').map(|part| format!("For=\"{}\"", part.trim()));
        parts.collect::<Vec<_>>().join(", ")
    };
    let values: Vec<String> = values.iter().map(|value| element(value)).collect();
    let headers: Vec<_> = values.iter().map(|value| ("forwarded", value.as_str())).collect();
    let found = origin(trusted, ForwardingHeader::Forwarded, peer, &headers);
    assert_eq!(found.address, address.parse::<IpAddr>().unwrap());
}

#[test]
fn scheme_and_host_are_the_nearest_proxys_word() {
    let headers = [
        ("x-forwarded-for", "198.51.100.7"),
        ("x-forwarded-proto", "http, https"),
        ("x-forwarded-host", "evil.example, id.example:8443"),
    ];
    let found = origin("10.0.0.0/8", ForwardingHeader::XForwardedFor, "10.0.0.1", &headers);
    assert_eq!((found.scheme, found.host.as_deref()), (Some(Scheme::Https), Some("id.example:8443")));
    let found = origin("10.0.0.0/8", ForwardingHeader::XForwardedFor, "192.0.2.1", &headers);
    assert_eq!((found.scheme, found.host), (None, None));
    let odd = [("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a/b@c")];
    let found = origin("10.0.0.0/8", ForwardingHeader::XForwardedFor, "10.0.0.1", &odd);
    assert_eq!((found.scheme, found.host), (None, None));
}

#[test]
fn of_forwarded_the_element_about_the_client_counts() {
    let headers = [(
        "forwarded",
        "for=1.1.1.1;host=evil.example;proto=http, for=198.51.100.7; Proto=https;host=\"id.example\", for=10.0.0.9;proto=http",
    )];
    let found = origin("10.0.0.0/8", ForwardingHeader::Forwarded, "10.0.0.1", &headers);
    assert_eq!(found.address.to_string(), "198.51.100.7");
    assert_eq!((found.scheme, found.host.as_deref()), (Some(Scheme::Https), Some("id.example")));
}

#[test]
fn only_the_headers_that_the_proxies_write_are_read() {
    let both = [("x-forwarded-for", "198.51.100.7"), ("forwarded", "for=203.0.113.9")];
    let by = |header| origin("10.0.0.0/8", header, "10.0.0.1", &both).address.to_string();
    assert_eq!(by(ForwardingHeader::XForwardedFor), "198.51.100.7");
    assert_eq!(by(ForwardingHeader::Forwarded), "203.0.113.9");
}

#[test]
fn a_long_list_is_read_from_the_right_and_no_further_than_it_must() {
    let list = format!("{}198.51.100.7", "10.0.0.9,".repeat(100_000));
    let found = origin("10.0.0.0/8", ForwardingHeader::XForwardedFor, "10.0.0.1", &[("x-forwarded-for", &list)]);
    assert_eq!(found.address.to_string(), "198.51.100.7");
    let list = "10.0.0.9,".repeat(100_000) + "10.0.0.8";
    let found = origin("10.0.0.0/8", ForwardingHeader::XForwardedFor, "10.0.0.1", &[("x-forwarded-for", &list)]);
    assert_eq!(found.address.to_string(), "10.0.0.9");
}

#[rstest]
#[case("10.0.0.0/33")]
#[case("proxy.example")]
#[case("10.0.0.0/8;10.0.0.1")]
fn what_is_no_network_is_named(#[case] text: &str) {
    let why = TrustedProxies::parse(text, ForwardingHeader::default()).unwrap_err();
    assert!(why.contains("network"), "{why}");
}
