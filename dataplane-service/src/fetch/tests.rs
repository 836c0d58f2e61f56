//! What is refused before anything is sent. What is sent, and where, is tested with listeners in `tests/suites/fetch.rs`.

use reqwest::header::{CACHE_CONTROL, HeaderMap, HeaderValue};
use rstest::rstest;

use super::*;

fn fetcher(allowed: &str) -> Fetcher {
    Fetcher::new(Reachable::parse(allowed).unwrap(), &[]).unwrap()
}

#[rstest]
#[case("http://169.254.169.254/", FetchError::Url)]
#[case("https://169.254.169.254/latest", FetchError::Forbidden)]
#[case("http://127.0.0.1:5432/", FetchError::Url)]
#[case("https://127.0.0.1:5432/", FetchError::Forbidden)]
#[case("https://[::1]/", FetchError::Forbidden)]
#[case("https://[::ffff:127.0.0.1]/", FetchError::Forbidden)]
#[case("https://0x7f000001/", FetchError::Forbidden)]
#[case("https://2130706433/", FetchError::Forbidden)]
#[case("https://0177.0.0.1/", FetchError::Forbidden)]
#[case("https://127.1/", FetchError::Forbidden)]
#[case("https://①②⑦.0.0.1/", FetchError::Forbidden)]
#[case("https://100.64.0.1/", FetchError::Forbidden)]
#[case("https://user@example.com/", FetchError::Url)]
#[case("https://:pw@example.com/", FetchError::Url)]
#[case("http://example.com/", FetchError::Url)]
#[case("file:///etc/passwd", FetchError::Url)]
#[case("gopher://127.0.0.1:70/_x", FetchError::Url)]
#[case("data:application/json,{}", FetchError::Url)]
#[case("//example.com/", FetchError::Url)]
#[case("", FetchError::Url)]
fn refused_before_sending(#[case] url: &str, #[case] expected: FetchError) {
    assert_eq!(fetcher("").check(url), Err(expected));
}

#[test]
fn loopback_in_the_clear_where_it_is_allowed() {
    assert!(fetcher("127.0.0.0/8").check("http://127.0.0.1:8080/jwks").is_ok());
    assert_eq!(fetcher("10.0.0.0/8").check("http://10.0.0.1/jwks"), Err(FetchError::Url));
    assert!(fetcher("10.0.0.0/8").check("https://10.0.0.1/jwks").is_ok());
}

#[rstest]
#[case(&["max-age=60"], Some(60))]
#[case(&["public, Max-Age=\"60\""], Some(60))]
#[case(&["no-store, max-age=60"], Some(0))]
#[case(&["max-age=60", "no-cache"], Some(0))]
#[case(&["max-age=forever"], None)]
#[case(&[], None)]
fn how_long_an_answer_may_be_kept(#[case] values: &[&'static str], #[case] secs: Option<u64>) {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(CACHE_CONTROL, HeaderValue::from_static(value));
    }
    assert_eq!(max_age(&headers), secs.map(Duration::from_secs));
}
