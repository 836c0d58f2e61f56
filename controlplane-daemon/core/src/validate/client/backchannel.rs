//! Rules of the addresses at which a client is told something: that a session ended, that a user answered.

use vocab::Violations;

use crate::model::ClientSpec;
use crate::validate::uri;

pub(super) fn check(violations: &mut Violations, spec: &ClientSpec) {
    let addresses = [
        ("/frontchannel_logout_uri", &spec.frontchannel_logout_uri),
        ("/backchannel_logout_uri", &spec.backchannel_logout_uri),
        ("/backchannel_client_notification_endpoint", &spec.backchannel_client_notification_endpoint),
    ];
    for (pointer, address) in addresses {
        if let Some(problem) = address.as_deref().and_then(uri::web_problem) {
            violations.add(pointer.to_owned(), problem);
        }
    }
    let pings = spec.backchannel_token_delivery_mode == Some(vocab::client::TokenDeliveryMode::Ping);
    // OIDC CIBA Core 1.0 §4: "REQUIRED if the token delivery mode is set to ping or push".
    violations.require(
        !pings || spec.backchannel_client_notification_endpoint.is_some(),
        "/backchannel_client_notification_endpoint",
        || "needed where backchannel_token_delivery_mode is ping".to_owned(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocab::client::TokenDeliveryMode;

    fn pointers(spec: &ClientSpec) -> Vec<String> {
        let mut violations = Violations::new();
        check(&mut violations, spec);
        let text = serde_json::to_value(&violations).unwrap();
        text.as_array().unwrap().iter().map(|one| one["pointer"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn addresses_are_of_the_web() {
        let rows = [
            ("https://rp.example/logout", true),
            ("https://rp.example:8443/logout?tenant=1", true),
            ("http://127.0.0.1:9000/logout", true),
            ("http://rp.example/logout", false),
            ("com.example.app:/logout", false),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
            ("https://rp.example/logout#x", false),
            ("https://user@rp.example/logout", false),
            ("https://rp.example/*", false),
        ];
        for (uri, good) in rows {
            let address = Some(uri.to_owned());
            let front = ClientSpec { frontchannel_logout_uri: address.clone(), ..ClientSpec::default() };
            let back = ClientSpec { backchannel_logout_uri: address.clone(), ..ClientSpec::default() };
            let ping = ClientSpec { backchannel_client_notification_endpoint: address, ..ClientSpec::default() };
            for (spec, pointer) in [
                (front, "/frontchannel_logout_uri"),
                (back, "/backchannel_logout_uri"),
                (ping, "/backchannel_client_notification_endpoint"),
            ] {
                let expected = if good { vec![] } else { vec![pointer.to_owned()] };
                assert_eq!(pointers(&spec), expected, "{uri}");
            }
        }
    }

    #[test]
    fn a_ping_needs_an_address() {
        let mode = |mode| ClientSpec { backchannel_token_delivery_mode: Some(mode), ..ClientSpec::default() };
        assert_eq!(pointers(&mode(TokenDeliveryMode::Ping)), ["/backchannel_client_notification_endpoint"]);
        assert!(pointers(&mode(TokenDeliveryMode::Poll)).is_empty());
    }
}
