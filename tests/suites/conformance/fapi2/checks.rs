//! What the modules check, one function each where several lines are needed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::relying_party::{Attempt, Tokens};
use tests::tenant::{Tenant, User};
use tests::tokens::Jwt;
use tests::web::{self, Answer};

use super::super::keys::{Key, claims, now, random};
use super::super::{Came, Outcome, Signed, ensure, signed, visit};
use super::bank::{Bank, Changes, REDIRECT};

pub(super) struct Op {
    pub(super) tenant: Tenant,
    pub(super) bank: Bank,
    pub(super) second: Bank,
    pub(super) alice: User,
}

pub(super) fn refused(answer: &Answer, errors: &[&str]) -> Outcome {
    let refused = (400..=401).contains(&answer.status) && errors.contains(&answer.code());
    ensure(refused, || format!("want one of {errors:?}: {answer:?}"))
}

impl Op {
    pub(super) async fn came(&self, changes: Changes<'_>) -> Result<(Attempt, Came), String> {
        let attempt = self.bank.attempt(changes);
        let url = self.bank.push(&attempt).await?;
        Ok((attempt, visit(&Browser::new(), &url, &self.alice).await))
    }

    pub(super) async fn code(&self) -> Result<(Attempt, String), String> {
        let (attempt, came) = self.came(&[]).await?;
        let code = came.answer.get("code").cloned().ok_or_else(|| format!("{came:?}"))?;
        Ok((attempt, code))
    }

    pub(super) async fn sign_in(&self, changes: Changes<'_>) -> Result<Signed, String> {
        let (attempt, came) = self.came(changes).await?;
        let code = came.answer.get("code").cloned().ok_or_else(|| format!("{came:?}"))?;
        let answer = self.bank.redeem(&code, &attempt).await;
        let bound = answer.status == 200 && answer.json["token_type"] == "DPoP";
        ensure(bound, || format!("{answer:?}"))?;
        signed(&self.bank.party, &attempt, came, Tokens::read(answer)).await
    }

    pub(super) async fn succeeds(&self, changes: Changes<'_>) -> Outcome {
        self.sign_in(changes).await.map(drop)
    }

    /// What userinfo says to a proof of the bank's key with these changes.
    pub(super) async fn look(&self, token: &str, scheme: &str, changes: &Value) -> Answer {
        let userinfo = self.bank.party.endpoint("userinfo");
        let ath = Jwt::parse(&self.bank.proof_key.proof_with("GET", &userinfo, token)).claims["ath"].clone();
        let mut all = json!({ "ath": ath });
        for (name, value) in changes.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        self.show(token, scheme, &[self.bank.proof_key.proof("GET", &userinfo, &all)]).await
    }

    pub(super) async fn show(&self, token: &str, scheme: &str, proofs: &[String]) -> Answer {
        let request = web::client().get(self.bank.party.endpoint("userinfo"));
        let request = request.header("authorization", format!("{scheme} {token}"));
        web::send(proofs.iter().fold(request, |request, proof| request.header("DPoP", proof))).await
    }

    pub(super) async fn discovery(&self) -> Outcome {
        let metadata = self.bank.party.discovery().await.json;
        let has = |name: &str, value: &str| {
            metadata[name].as_array().is_some_and(|listed| listed.iter().any(|one| one == value))
        };
        ensure(metadata["authorization_response_iss_parameter_supported"] == true, || metadata.to_string())?;
        ensure(metadata["pushed_authorization_request_endpoint"].is_string(), || metadata.to_string())?;
        for (name, value) in [
            ("token_endpoint_auth_methods_supported", "private_key_jwt"),
            ("token_endpoint_auth_signing_alg_values_supported", "PS256"),
            ("dpop_signing_alg_values_supported", "ES256"),
            ("code_challenge_methods_supported", "S256"),
            ("grant_types_supported", "authorization_code"),
            ("response_types_supported", "code"),
        ] {
            ensure(has(name, value), || format!("{name}: {}", metadata[name]))?;
        }
        ensure(!has("code_challenge_methods_supported", "plain"), || metadata.to_string())
    }

    pub(super) async fn happy(&self) -> Outcome {
        let signed = self.sign_in(&[]).await?;
        let bound = claims(&signed.tokens.access)["cnf"]["jkt"] == self.bank.proof_key.thumbprint();
        ensure(bound && signed.tokens.refresh.is_some(), || signed.tokens.access.clone())?;
        let answer = self.look(&signed.tokens.access, "DPoP", &json!({})).await;
        ensure(answer.status == 200 && answer.json["sub"] == signed.id["sub"], || format!("{answer:?}"))
    }

    pub(super) async fn rejects(&self) -> Outcome {
        self.tenant.patch_client("bank", &json!({ "require_consent": true })).await;
        let attempt = self.bank.attempt(&[]);
        let browser = Browser::new();
        let login = browser.open(&self.bank.push(&attempt).await?).await.expect_form();
        let consent = browser.sign_in(&login, &self.alice.email, &self.alice.password).await.expect_form();
        let callback = browser.deny(&consent).await.expect_callback();
        self.tenant.patch_client("bank", &json!({ "require_consent": false })).await;
        let told = tests::relying_party::parameters(&callback);
        let right = told.get("error").is_some_and(|error| error == "access_denied")
            && told.get("state") == Some(&attempt.state)
            && told.get("iss") == Some(&self.tenant.issuer);
        ensure(right, || callback.to_string())
    }

    pub(super) async fn identity_claims(&self) -> Outcome {
        let asked = json!({ "id_token": { "name": { "essential": true } }, "userinfo": { "name": null } }).to_string();
        let signed = self.sign_in(&[("claims", Some(&asked))]).await?;
        let told = self.look(&signed.tokens.access, "DPoP", &json!({})).await.json;
        ensure(signed.id["name"] == "alice" && told["name"] == "alice", || format!("{} {told}", signed.id))
    }

    /// RFC 9110 §11.1.
    pub(super) async fn any_case(&self) -> Outcome {
        let token = self.sign_in(&[]).await?.tokens.access;
        for scheme in ["DPoP", "dpop", "DPOP"] {
            let answer = self.look(&token, scheme, &json!({})).await;
            ensure(answer.status == 200, || format!("{scheme}: {answer:?}"))?;
        }
        Ok(())
    }

    /// By a proof for the token endpoint with these changes.
    pub(super) async fn proven(&self, changes: &Value) -> Result<Answer, String> {
        let (attempt, code) = self.code().await?;
        let proof = self.bank.proof("token", changes);
        Ok(self.bank.redeem_with(&code, Some(&attempt.verifier), &self.bank.assertion(&json!({})), &[proof]).await)
    }

    pub(super) async fn proof_is_taken(&self, changes: &Value) -> Outcome {
        let answer = self.proven(changes).await?;
        ensure(answer.status == 200, || format!("{answer:?}"))
    }

    /// A request pushed with `dpop_jkt` and a proof, either or none, then redeemed by a key.
    pub(super) async fn bound(
        &self,
        jkt: Option<&Key>,
        pushed: Option<&Key>,
        redeemed: &Key,
    ) -> Result<Answer, String> {
        let thumbprint = jkt.map(Key::thumbprint);
        let attempt = self.bank.attempt(&[("dpop_jkt", thumbprint.as_deref())]);
        let prove = |key: &Key, endpoint: &str| key.proof("POST", &self.bank.party.endpoint(endpoint), &json!({}));
        let proofs: Vec<String> = pushed.map(|key| prove(key, "par")).into_iter().collect();
        let answer = self.bank.push_with(&attempt, &json!({}), &proofs).await;
        if answer.status != 201 {
            return Ok(answer);
        }
        let url = self.bank.referring(&answer.text_of("request_uri"));
        let came = visit(&Browser::new(), &url, &self.alice).await;
        let code = came.answer.get("code").cloned().ok_or_else(|| format!("{came:?}"))?;
        let assertion = self.bank.assertion(&json!({}));
        Ok(self.bank.redeem_with(&code, Some(&attempt.verifier), &assertion, &[prove(redeemed, "token")]).await)
    }

    /// What stands beside a pushed request is not looked at.
    pub(super) async fn beside(&self, name: &str, own: Option<&str>) -> Outcome {
        let attempt = self.bank.attempt(&[(name, own)]);
        let mut url = self.bank.push(&attempt).await?;
        url.query_pairs_mut().append_pair(name, "outside");
        let came = visit(&Browser::new(), &url, &self.alice).await;
        let code = came.answer.get("code").cloned().ok_or_else(|| format!("{came:?}"))?;
        let answer = self.bank.redeem(&code, &attempt).await;
        ensure(answer.status == 200, || format!("{answer:?}"))?;
        signed(&self.bank.party, &attempt, came, Tokens::read(answer)).await.map(drop)
    }

    pub(super) async fn not_pushed(&self, changes: Changes<'_>, errors: &[&str]) -> Outcome {
        refused(&self.bank.push_with(&self.bank.attempt(changes), &json!({}), &[]).await, errors)
    }

    pub(super) async fn no_client(&self, changes: Value) -> Outcome {
        let answer = self.bank.push_with(&self.bank.attempt(&[]), &changes, &[]).await;
        refused(&answer, &["invalid_client", "invalid_request"])
    }

    pub(super) async fn redeemed_by(&self, assertion: &str) -> Outcome {
        refused(&self.answer_to(assertion).await?, &["invalid_client", "invalid_request"])
    }

    /// What a fresh code with this assertion leads to.
    pub(super) async fn answer_to(&self, assertion: &str) -> Result<Answer, String> {
        let (attempt, code) = self.code().await?;
        let proof = self.bank.proof("token", &json!({}));
        Ok(self.bank.redeem_with(&code, Some(&attempt.verifier), assertion, &[proof]).await)
    }

    pub(super) async fn without_assertion(&self) -> Outcome {
        let (attempt, code) = self.code().await?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", REDIRECT),
            ("code_verifier", &attempt.verifier),
            ("client_id", "bank"),
        ];
        let request = web::client().post(self.bank.party.endpoint("token")).form(&form);
        refused(&web::send(request).await, &["invalid_client", "invalid_request"])
    }

    pub(super) async fn foreign_client_id(&self) -> Outcome {
        let (attempt, code) = self.code().await?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", REDIRECT),
            ("code_verifier", &attempt.verifier),
            ("client_id", "second"),
        ];
        let proof = self.bank.proof("token", &json!({}));
        let answer = self.bank.send("token", &form, &self.bank.assertion(&json!({})), &[proof]).await;
        refused(&answer, &["invalid_client", "invalid_request", "invalid_grant"])
    }

    pub(super) async fn foreign_code(&self) -> Outcome {
        let (attempt, code) = self.code().await?;
        refused(&self.second.redeem(&code, &attempt).await, &["invalid_grant"])
    }

    pub(super) async fn code_after(&self, statement: Option<&str>) -> Outcome {
        let (attempt, code) = self.code().await?;
        match statement {
            None => {
                let answer = self.bank.redeem(&code, &attempt).await;
                ensure(answer.status == 200, || format!("{answer:?}"))?;
            }
            Some(statement) => self.sql(statement).await?,
        }
        refused(&self.bank.redeem(&code, &attempt).await, &["invalid_grant"])
    }

    pub(super) async fn sql(&self, statement: &str) -> Outcome {
        let rows = self.tenant.database.connect().await.execute(statement, &[]).await;
        ensure(rows.is_ok_and(|rows| rows > 0), || format!("{statement} changes nothing"))
    }

    pub(super) async fn verifier(&self, verifier: Option<&str>) -> Outcome {
        let (_, code) = self.code().await?;
        let proof = self.bank.proof("token", &json!({}));
        let answer = self.bank.redeem_with(&code, verifier, &self.bank.assertion(&json!({})), &[proof]).await;
        refused(&answer, &["invalid_grant", "invalid_request"])
    }

    pub(super) async fn dpop_negative(&self) -> Outcome {
        let token = self.sign_in(&[]).await?.tokens.access;
        let userinfo = self.bank.party.endpoint("userinfo");
        let key = &self.bank.proof_key;
        let good = || key.proof_with("GET", &userinfo, &token);
        let parts = Jwt::parse(&good());
        let resigned = |change: &dyn Fn(&mut Jwt)| {
            let mut jwt = parts.clone();
            jwt.claims["jti"] = json!(random());
            change(&mut jwt);
            key.sign(&jwt.header, &jwt.claims)
        };
        let stranger = Key::new("d").proof_with("GET", &userinfo, &token);
        let spoiled = parts.signed_with(&[0; 64]);
        let private = URL_SAFE_NO_PAD.encode([7; 32]);
        let rows: Vec<(&str, Vec<String>)> = vec![
            ("two of them", vec![good(), good()]),
            ("no JWT", vec!["not.a.jwt".to_owned()]),
            ("no typ", vec![resigned(&|jwt| drop(jwt.header.as_object_mut().map(|it| it.remove("typ"))))]),
            ("no alg", vec![resigned(&|jwt| drop(jwt.header.as_object_mut().map(|it| it.remove("alg"))))]),
            ("no jwk", vec![resigned(&|jwt| drop(jwt.header.as_object_mut().map(|it| it.remove("jwk"))))]),
            ("no jti", vec![resigned(&|jwt| drop(jwt.claims.as_object_mut().map(|it| it.remove("jti"))))]),
            ("no htm", vec![resigned(&|jwt| drop(jwt.claims.as_object_mut().map(|it| it.remove("htm"))))]),
            ("no htu", vec![resigned(&|jwt| drop(jwt.claims.as_object_mut().map(|it| it.remove("htu"))))]),
            ("no iat", vec![resigned(&|jwt| drop(jwt.claims.as_object_mut().map(|it| it.remove("iat"))))]),
            ("no ath", vec![resigned(&|jwt| drop(jwt.claims.as_object_mut().map(|it| it.remove("ath"))))]),
            ("another typ", vec![resigned(&|jwt| jwt.header["typ"] = json!("jwt"))]),
            ("alg none", vec![parts.clone().with_alg_none()]),
            ("a wrong signature", vec![spoiled]),
            ("a private key", vec![resigned(&|jwt| jwt.header["jwk"]["d"] = json!(private))]),
            ("another htm", vec![resigned(&|jwt| jwt.claims["htm"] = json!("PUT"))]),
            ("another htu", vec![resigned(&|jwt| jwt.claims["htu"] = json!("https://other.example/"))]),
            ("an hour ahead", vec![resigned(&|jwt| jwt.claims["iat"] = json!(now() + 3600))]),
            ("an hour late", vec![resigned(&|jwt| jwt.claims["iat"] = json!(now() - 3600))]),
            ("another ath", vec![resigned(&|jwt| jwt.claims["ath"] = json!(random()))]),
            ("another key", vec![stranger]),
        ];
        for (what, proofs) in rows {
            let answer = self.show(&token, "DPoP", &proofs).await;
            ensure((400..=401).contains(&answer.status), || format!("{what}: {answer:?}"))?;
        }
        for (what, proof) in [
            (
                "htu with a query and a fragment",
                resigned(&|jwt| jwt.claims["htu"] = json!(format!("{userinfo}?a=b#c"))),
            ),
            (
                "more in it",
                resigned(&|jwt| {
                    jwt.header["x"] = json!(1);
                    jwt.claims["x"] = json!({ "y": 1 });
                }),
            ),
        ] {
            let answer = self.show(&token, "DPoP", &[proof]).await;
            ensure(answer.status == 200, || format!("{what}: {answer:?}"))?;
        }
        let once = good();
        let answers =
            [self.show(&token, "DPoP", std::slice::from_ref(&once)).await, self.show(&token, "DPoP", &[once]).await];
        ensure(answers[0].status == 200 && answers[1].status == 401, || format!("{answers:?}"))?;
        let bearer = self.show(&token, "Bearer", &[]).await;
        ensure(bearer.status == 401, || format!("{bearer:?}"))
    }

    pub(super) async fn refresh(&self) -> Outcome {
        let signed = self.sign_in(&[]).await?;
        let form = [("grant_type", "refresh_token"), ("refresh_token", signed.tokens.refresh())];
        let (assertion, proof) = (self.second.assertion(&json!({})), self.second.proof("token", &json!({})));
        let stolen = self.second.send("token", &form, &assertion, &[proof]).await;
        refused(&stolen, &["invalid_grant"])?;
        let proof = self.bank.proof("token", &json!({}));
        let answer = self.bank.send("token", &form, &self.bank.assertion(&json!({})), &[proof]).await;
        ensure(answer.status == 200, || format!("{answer:?}"))?;
        let look = self.look(&answer.text_of("access_token"), "DPoP", &json!({})).await;
        ensure(look.status == 200, || format!("{look:?}"))
    }

    /// A recommendation (FAPI 2.0 Security Profile §5.3.2.2, note 3), of which the suite warns: here the first visit uses
    /// the request up, and whoever opens it again is told on a page.
    pub(super) async fn opened_twice(&self) -> Outcome {
        let url = self.bank.push(&self.bank.attempt(&[])).await?;
        let browser = Browser::new();
        let first = browser.open(&url).await;
        ensure(first.form().is_some_and(|form| form.asks_for_password()), || format!("{first:?}"))?;
        let again = visit(&browser, &url, &self.alice).await;
        ensure(again.answer.contains_key("code"), || format!("{again:?}"))
    }

    pub(super) async fn used_request(&self) -> Outcome {
        let url = self.bank.push(&self.bank.attempt(&[])).await?;
        let browser = Browser::new();
        let first = visit(&browser, &url, &self.alice).await;
        ensure(first.answer.contains_key("code"), || format!("{first:?}"))?;
        visit(&browser, &url, &self.alice).await.stays()
    }

    pub(super) async fn expired_request(&self) -> Outcome {
        let url = self.bank.push(&self.bank.attempt(&[])).await?;
        self.sql("update pushed_requests set expires_at = now() - interval '1 second'").await?;
        visit(&Browser::new(), &url, &self.alice).await.stays()
    }

    pub(super) async fn foreign_request(&self) -> Outcome {
        let mut url = self.bank.push(&self.bank.attempt(&[])).await?;
        let uri = url.query_pairs().find(|(name, _)| name == "request_uri").map(|(_, value)| value.into_owned());
        url = self.second.referring(&uri.unwrap_or_default());
        visit(&Browser::new(), &url, &self.alice).await.stays()
    }

    pub(super) async fn by_verb(&self) -> Outcome {
        for method in [Method::GET, Method::PUT] {
            let answer = web::send(web::client().request(method, self.bank.party.endpoint("par"))).await;
            ensure(answer.status == 405, || format!("{answer:?}"))?;
        }
        Ok(())
    }
}
