//! The crate `openidconnect`.

use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreUserInfoClaims};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, RedirectUrl, Scope, TokenResponse as _,
};
use tests::browser::Browser;
use tests::relying_party::parameters;
use tests::tenant::{APP_REDIRECT, BACKEND_REDIRECT};
use tests::web;
use tests::world;

#[tokio::test]
async fn the_crate_openidconnect_signs_in() {
    let world = world::shared().await;
    let tenant = world.tenant("openidconnect").await;
    let alice = tenant.user("alice").await;
    let http = |request: HttpRequest| async move {
        let client = web::client();
        let request = reqwest::Request::try_from(request)?;
        let response = client.execute(request).await?;
        let mut answer = HttpResponse::new(Vec::new());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        *answer.body_mut() = response.bytes().await?.to_vec();
        Ok::<_, reqwest::Error>(answer)
    };
    let secret = tenant.backend.secret.clone().expect("a confidential client");
    for (id, secret, redirect) in [("app", None, APP_REDIRECT), ("backend", Some(secret), BACKEND_REDIRECT)] {
        let issuer = IssuerUrl::new(tenant.issuer.clone()).expect("a URL");
        let metadata = CoreProviderMetadata::discover_async(issuer, &http).await.expect("discovery");
        let secret = secret.map(ClientSecret::new);
        let client = CoreClient::from_provider_metadata(metadata, ClientId::new(id.to_owned()), secret)
            .set_redirect_uri(RedirectUrl::new(redirect.to_owned()).expect("a URL"));
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
            .add_scopes(["email", "profile", "offline_access"].map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(challenge)
            .url();
        let callback = parameters(&Browser::new().authorize(&url, &alice).await);
        assert_eq!(&callback["state"], state.secret());

        let code = AuthorizationCode::new(callback["code"].clone());
        let request = client.exchange_code(code).expect("a token endpoint").set_pkce_verifier(verifier);
        let tokens = request.request_async(&http).await.expect("tokens");
        let id_token = tokens.id_token().expect("an ID token");
        let id_verifier = client.id_token_verifier();
        let claims = id_token.claims(&id_verifier, &nonce).expect("a valid ID token");
        assert_eq!(claims.subject().as_str(), alice.id);
        let algorithm = id_token.signing_alg().expect("an algorithm");
        let key = id_token.signing_key(&id_verifier).expect("a key");
        let at_hash = AccessTokenHash::from_token(tokens.access_token(), algorithm, key).expect("a hash");
        assert_eq!(claims.access_token_hash(), Some(&at_hash));

        let subject = Some(claims.subject().clone());
        let request = client.user_info(tokens.access_token().clone(), subject).expect("a userinfo endpoint");
        let userinfo: CoreUserInfoClaims = request.request_async(&http).await.expect("userinfo");
        assert_eq!(userinfo.email().map(|email| email.as_str()), Some(alice.email.as_str()));

        let refresh = tokens.refresh_token().expect("a refresh token");
        let request = client.exchange_refresh_token(refresh).expect("a token endpoint");
        request.request_async(&http).await.expect("fresh tokens");
    }
}
