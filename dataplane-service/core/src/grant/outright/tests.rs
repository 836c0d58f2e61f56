//! Whatever meets the terms is granted by the rules: all combinations of what can be stored and asked.

use serde_json::json;

use super::super::tests::{NOW, grant};
use super::refresh_token::{Decision, Rotation};
use super::*;
use crate::authorization_details::AuthorizationDetails;
use crate::claims_request::ClaimsRequest;
use crate::client::Client;
use crate::client::tests::{client, client_with};
use crate::form::Form;

const ISSUER: &str = "https://id.example";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const ROTATION: Rotation = Rotation::Replace { grace_secs: 0 };

fn key(name: &[u8]) -> Confirmation {
    Confirmation::Key(Thumbprint::of(name))
}

/// Every combination of what a grant may be.
fn grants() -> Vec<Grant> {
    let details: AuthorizationDetails = serde_json::from_value(json!([{ "type": "payment" }])).unwrap();
    let asked = ClaimsRequest::parse(r#"{"userinfo":{"name":null}}"#).unwrap();
    let [api, lost] = ["https://api.example", "https://lost.example"].map(str::to_owned);
    let mut grants = Vec::new();
    for audience in [vec![], vec![api], vec![lost.clone()], vec![lost, ISSUER.to_owned()]] {
        for bits in 0..64_u8 {
            let is = |bit: u8| bits & (1 << bit) != 0;
            grants.push(Grant {
                audience: audience.clone(),
                is_revoked: is(0),
                user_is_active: !is(1),
                client_id: if is(2) { "other" } else { "web" }.to_owned(),
                expires_at: if is(3) { NOW } else { NOW.plus_secs(1) },
                claims: if is(4) { asked.clone() } else { ClaimsRequest::default() },
                details: if is(5) { details.clone() } else { AuthorizationDetails::default() },
                ..grant()
            });
        }
    }
    grants
}

fn clients() -> [Client; 3] {
    [client(), client_with(|spec| spec.audiences.clear()), client_with(|spec| spec.scopes.clear())]
}

/// What the request proves to have.
const fn shown(own: Confirmation) -> [Option<Confirmation>; 2] {
    [None, Some(own)]
}

fn refresh_tokens() -> Vec<StoredRefreshToken> {
    let mut tokens = Vec::new();
    for grant in grants() {
        for rotated_at in [None, Some(NOW)] {
            for expires_at in [NOW, NOW.plus_secs(1)] {
                for confirmation in [None, Some(key(b"own")), Some(key(b"other"))] {
                    let (grant, successor) = (grant.clone(), None);
                    tokens.push(StoredRefreshToken { grant, expires_at, confirmation, rotated_at, successor });
                }
            }
        }
    }
    tokens
}

#[test]
fn a_refresh_token_that_meets_the_terms_is_rotated() {
    let form = Form::parse(b"refresh_token=r").unwrap();
    let request = refresh_token::Request::parse(&form).unwrap();
    let (tokens, mut met) = (refresh_tokens(), 0);
    for client in clients() {
        for shown in shown(key(b"own")) {
            let proof = AuthenticatedClient::proven(&client).bound_to(shown);
            let terms = request.terms(ISSUER, proof, ROTATION).expect("it is a usual request");
            for token in tokens.iter().filter(|token| terms.are_met_by(NOW, token)) {
                let decided = request.clone().decide(NOW, ISSUER, proof, ROTATION, Some(token));
                assert!(matches!(decided, Ok(Decision::Rotate(_))), "{decided:?} {token:?}");
                met += 1;
            }
        }
    }
    assert!(met >= 10, "{met}");
}

fn codes() -> Vec<StoredCode> {
    let answered = Challenge::answered_by(VERIFIER).unwrap();
    let other = Challenge::answered_by(&VERIFIER.to_lowercase()).unwrap();
    let challenges = [None, Some(answered), Some(Challenge::plain(VERIFIER).unwrap()), Some(other)];
    let keys = [None, Some(Thumbprint::of(b"own")), Some(Thumbprint::of(b"other"))];
    let mut codes = Vec::new();
    for grant in grants() {
        for code_challenge in &challenges {
            for dpop_jkt in keys {
                for (is_redeemed, expires_at) in [(false, NOW.plus_secs(1)), (true, NOW.plus_secs(1)), (false, NOW)] {
                    codes.push(StoredCode {
                        grant: grant.clone(),
                        redirect_uri: "https://app.example/cb".to_owned(),
                        code_challenge: code_challenge.clone(),
                        dpop_jkt,
                        expires_at,
                        is_redeemed,
                        traceparent: None,
                    });
                }
            }
        }
    }
    codes
}

#[test]
fn a_code_that_meets_the_terms_is_redeemed() {
    let with_verifier = format!("code=c&redirect_uri=https://app.example/cb&code_verifier={VERIFIER}");
    let (codes, mut met) = (codes(), 0);
    for body in [&with_verifier, "code=c&redirect_uri=https://app.example/cb", "code=c&redirect_uri=https://x"] {
        let form = Form::parse(body.as_bytes()).unwrap();
        let request = authorization_code::Request::parse(&form).unwrap();
        for client in clients() {
            for shown in shown(key(b"own")) {
                let proof = AuthenticatedClient::proven(&client).bound_to(shown);
                let terms = request.terms(ISSUER, proof).expect("it is a usual request");
                for code in codes.iter().filter(|code| terms.are_met_by(NOW, code)) {
                    let decided = request.clone().decide(NOW, ISSUER, proof, Some(code));
                    assert!(decided.is_ok(), "{decided:?} {code:?}");
                    met += 1;
                }
            }
        }
    }
    assert!(met >= 10, "{met}");
}

#[test]
fn an_answer_that_meets_the_terms_is_redeemed() {
    let (form, mut met) = (Form::parse(b"auth_req_id=a").unwrap(), 0);
    let request = waiting::Request::of_ciba(&form).unwrap();
    let approved = grants().into_iter().map(|grant| Answer::Approved(Box::new(grant)));
    let answers: Vec<_> = approved.chain([Answer::Pending, Answer::Denied]).collect();
    for client in clients() {
        let proof = AuthenticatedClient::proven(&client);
        let terms = request.terms(ISSUER, proof).expect("it is a usual request");
        for answer in &answers {
            for (expires_at, asked_too_soon) in [(NOW, false), (NOW.plus_secs(1), false), (NOW.plus_secs(1), true)] {
                let waiting = Waiting { answer: answer.clone(), expires_at, asked_too_soon, traceparent: None };
                if terms.are_met_by_answer(NOW, &waiting) {
                    let decided = request.clone().decide(NOW, ISSUER, proof, Some(&waiting));
                    assert!(decided.is_ok(), "{decided:?} {waiting:?}");
                    met += 1;
                }
            }
        }
    }
    assert!(met >= 10, "{met}");
}

#[test]
fn whoever_asks_for_something_else_is_looked_at() {
    let client = client();
    let proof = AuthenticatedClient::proven(&client);
    for asked in ["scope=openid", "resource=https://api.example", "authorization_details=[]"] {
        let body = format!("refresh_token=r&code=c&device_code=d&redirect_uri=https://app.example/cb&{asked}");
        let form = Form::parse(body.as_bytes()).unwrap();
        let request = refresh_token::Request::parse(&form).unwrap();
        assert_eq!(request.terms(ISSUER, proof, ROTATION), None, "{asked}");
        // The scope of a code is settled (RFC 6749 §4.1.3).
        let of_code = authorization_code::Request::parse(&form).unwrap().terms(ISSUER, proof);
        let of_device = waiting::Request::of_device(&form).unwrap().terms(ISSUER, proof);
        let is_settled = asked.starts_with("scope=");
        assert_eq!((of_code.is_some(), of_device.is_some()), (is_settled, is_settled), "{asked}");
    }
    let form = Form::parse(b"refresh_token=r&code=c&redirect_uri=https://app.example/cb&code_verifier=short").unwrap();
    let request = refresh_token::Request::parse(&form).unwrap();
    assert_eq!(request.terms(ISSUER, proof, Rotation::Keep), None);
    assert_eq!(authorization_code::Request::parse(&form).unwrap().terms(ISSUER, proof), None);
}
