//! What a person's authenticators are asked at `/mfa`, and how the answer is judged.
//!
//! The browser asks them by a script, the one on these pages; who runs none has the other factors. A challenge belongs to
//! one page and to the cookie of the sign-in or session that it was made for, and is taken away by whatever answers it.

use oauth_core::form::Form;
use webauthn_rs::prelude::{Passkey, PasskeyAuthentication, PublicKeyCredential};

use super::person::Person;
use crate::http::visit::Visit;
use crate::opaque;
use crate::pages::{AskedKeys, PageError};
use crate::second_factor::webauthn::{facts, open, relying_party, seal, signed};
use crate::store::challenges::{self, NewChallenge};
use crate::store::factors::{self, Factor, Kind, Signed};

/// What a challenge is for: one of these does not answer the other.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Add,
    Show,
}

fn owner(visit: &Visit<'_>, person: &Person, purpose: Purpose, question: &str) -> String {
    let purpose = match purpose {
        Purpose::Add => "add",
        Purpose::Show => "show",
    };
    format!("{purpose} {question} {}", person.cookie(visit))
}

/// Returns the name by which the form tells which question it answers.
pub(super) async fn keep_challenge(
    visit: &Visit<'_>,
    person: &Person,
    purpose: Purpose,
    sealed: &str,
) -> Result<String, PageError> {
    let question = opaque::fresh();
    let owner = owner(visit, person, purpose, question.expose());
    let new = NewChallenge { owner: &owner, user_id: person.user(), sealed, now: visit.now };
    challenges::put(visit.db()?, &new).await.map_err(|e| visit.fault(&e))?;
    Ok(question.expose().clone())
}

/// Whatever comes of the answer, nothing answers that challenge again.
pub(super) async fn take_challenge(
    visit: &Visit<'_>,
    person: &Person,
    purpose: Purpose,
    form: &Form<'_>,
) -> Result<Option<String>, PageError> {
    let owner = owner(visit, person, purpose, form.get("question").unwrap_or_default());
    challenges::take(visit.db()?, &owner, visit.now).await.map_err(|e| visit.fault(&e))
}

pub(super) fn passkeys<'f>(visit: &Visit<'_>, known: &'f [Factor]) -> Result<Vec<(&'f Factor, Passkey)>, PageError> {
    let db = visit.db()?;
    let opened = |factor: &'f Factor| {
        let passkey = open(db, &factor.sealed);
        if passkey.is_none() {
            tracing::error!(tenant = %visit.tenant.slug, factor = %factor.id, "a second factor cannot be opened");
        }
        Some((factor, passkey?))
    };
    Ok(known.iter().filter(|factor| factor.kind == Kind::Webauthn).filter_map(opened).collect())
}

/// What the browser is to ask the person's authenticators; `None`: there are none that can be used here.
pub(super) async fn options(
    visit: &Visit<'_>,
    person: &Person,
    known: &[Factor],
) -> Result<Option<AskedKeys>, PageError> {
    let keys: Vec<Passkey> = passkeys(visit, known)?.into_iter().map(|(_, key)| key).collect();
    let Some(relying_party) = relying_party(visit.tenant).filter(|_| !keys.is_empty()) else {
        return Ok(None);
    };
    let Ok((options, state)) = relying_party.start_passkey_authentication(&keys) else {
        tracing::error!(tenant = %visit.tenant.slug, user = %person.user(), "authenticators cannot be asked for");
        return Ok(None);
    };
    let question = keep_challenge(visit, person, Purpose::Show, &seal(visit.db()?, &state)).await?;
    Ok(Some(AskedKeys { options: serde_json::to_string(&options).unwrap_or_default(), question }))
}

/// How the user signed in by what an authenticator signed (WebAuthn Level 2 §7.2); `None`: it does not count.
pub(super) async fn judge(
    visit: &Visit<'_>,
    person: &Person,
    form: &Form<'_>,
) -> Result<Option<[&'static str; 2]>, PageError> {
    let db = visit.db()?;
    let state = take_challenge(visit, person, Purpose::Show, form).await?;
    let state = state.and_then(|sealed| open::<PasskeyAuthentication>(db, &sealed));
    let credential: Option<PublicKeyCredential> =
        form.get("credential").and_then(|assertion| serde_json::from_str(assertion).ok());
    let (Some(relying_party), Some(state), Some(credential)) = (relying_party(visit.tenant), state, credential) else {
        return Ok(None);
    };
    let (slug, user) = (&visit.tenant.slug, person.user());
    // Step 6: an authenticator that says whose it is says so rightly.
    let is_anothers = |handle: &[u8]| handle != user.as_bytes();
    if credential.response.user_handle.as_ref().is_some_and(|handle| is_anothers(handle.as_ref())) {
        return Ok(None);
    }
    let result = match relying_party.finish_passkey_authentication(&credential, &state) {
        Ok(result) => result,
        Err(error) => {
            tracing::info!(tenant = %slug, %user, %error, "what an authenticator signed was refused");
            return Ok(None);
        }
    };
    // As it is now: it may have been removed, or have signed, since it was asked.
    let known = factors::list(db, user).await.map_err(|e| visit.fault(&e))?;
    let used = passkeys(visit, &known)?.into_iter().find_map(|(factor, key)| Some((factor, signed(key, &result)?)));
    let Some((factor, key)) = used else {
        return Ok(None);
    };
    let (methods, _) = facts(&key);
    let sealed = seal(db, &key);
    let signed = Signed { id: factor.id, user_id: user, sign_count: result.counter(), sealed: &sealed, now: visit.now };
    if !factors::use_key(db, &signed).await.map_err(|e| visit.fault(&e))? {
        tracing::warn!(
            tenant = %slug, %user, factor = %factor.id, "an authenticator's counter went back: there may be two of it"
        );
        return Ok(None);
    }
    Ok(Some(methods))
}
