//! The parameters of a request one by one: each from text to what it means, or the refusal.

use std::collections::BTreeSet;

use vocab::oauth::OAuthSettings;

use crate::authorize::request::{Prompt, ResponseMode, ResponseType};
use crate::client::Client;
use crate::confirmation::Thumbprint;
use crate::error::{Code, OAuthError};
use crate::form::Form;
use crate::pkce::Challenge;

pub(super) fn response_type(form: &Form<'_>) -> Result<ResponseType, OAuthError> {
    let asked = form.get("response_type").ok_or(OAuthError::invalid_request("The response_type is missing."))?;
    ResponseType::ALL
        .into_iter()
        .find(|known| known.as_str() == asked)
        .ok_or(OAuthError::unsupported_response_type("The only response_type is code."))
}

pub(super) fn response_mode(form: &Form<'_>) -> Result<ResponseMode, OAuthError> {
    match form.get("response_mode") {
        None => Ok(ResponseMode::default()),
        Some(asked) => ResponseMode::ALL
            .into_iter()
            .find(|mode| mode.as_str() == asked)
            .ok_or(OAuthError::invalid_request("The response_mode is not supported.")),
    }
}

/// The key that the code will be bound to (RFC 9449 §10).
pub(super) fn dpop_jkt(form: &Form<'_>) -> Result<Option<Thumbprint>, OAuthError> {
    let told = "The dpop_jkt is not the SHA-256 thumbprint of a key.";
    form.get("dpop_jkt").map(str::parse).transpose().map_err(|_| OAuthError::invalid_request(told))
}

/// Required of public clients (RFC 9700 §2.1.1), taken from everybody; `plain` where the tenant allows it.
pub(super) fn code_challenge(
    form: &Form<'_>,
    settings: &OAuthSettings,
    client: &Client,
    response_type: ResponseType,
) -> Result<Option<Challenge>, OAuthError> {
    let malformed =
        |error: crate::pkce::InvalidChallenge| OAuthError::quoting(Code::InvalidRequest, &error.to_string());
    // A method left out means `plain` (RFC 7636 §4.3).
    match (form.get("code_challenge"), form.get("code_challenge_method").unwrap_or("plain")) {
        (Some(challenge), "S256") => Challenge::parse(challenge).map(Some).map_err(malformed),
        (Some(challenge), "plain") if settings.allow_plain_pkce => {
            Challenge::plain(challenge).map(Some).map_err(malformed)
        }
        (Some(_), _) => Err(OAuthError::invalid_request("The only code_challenge_method is S256.")),
        (None, _) if form.get("code_challenge_method").is_some() => {
            Err(OAuthError::invalid_request("The code_challenge is missing."))
        }
        (None, _) if client.is_public() && response_type == ResponseType::Code => {
            Err(OAuthError::invalid_request("A public client must send a code_challenge."))
        }
        (None, _) => Ok(None),
    }
}

/// Those of the request, or else those the client is registered with (OIDC Registration §2). Not understood, they do no
/// harm; they are kept only as far as anybody would write them.
pub(super) fn acr_values(form: &Form<'_>, client: &Client) -> Vec<String> {
    const MOST: usize = 16;
    match form.get("acr_values") {
        Some(text) => text.split(' ').filter(|value| !value.is_empty()).take(MOST).map(str::to_owned).collect(),
        None => client.spec.default_acr_values.clone(),
    }
}

/// OIDC Core §3.1.2.1: `none` stands alone.
pub(super) fn prompt(form: &Form<'_>) -> Result<BTreeSet<Prompt>, OAuthError> {
    let mut prompts = BTreeSet::new();
    for word in form.get("prompt").unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
        let prompt = Prompt::ALL.into_iter().find(|prompt| prompt.as_str() == word);
        prompts.insert(prompt.ok_or(OAuthError::invalid_request("The prompt is not supported."))?);
    }
    if prompts.contains(&Prompt::None) && prompts.len() > 1 {
        return Err(OAuthError::invalid_request("The prompt none cannot be combined with others."));
    }
    Ok(prompts)
}

pub(super) fn max_age(form: &Form<'_>) -> Result<Option<u32>, OAuthError> {
    match form.get("max_age") {
        None => Ok(None),
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().map(Some).map_err(|_| OAuthError::invalid_request("The max_age is too large."))
        }
        Some(_) => Err(OAuthError::invalid_request("The max_age must be a number of seconds.")),
    }
}
