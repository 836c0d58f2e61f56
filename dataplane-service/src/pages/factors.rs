//! The pages about second factors. What is secret in them is shown once, to its owner.

use askama::Template;

use super::Frame;

/// What the browser is to ask authenticators.
#[derive(Debug)]
pub struct AskedKeys {
    /// As JSON, for the script.
    pub options: String,
    /// By which the form tells what it answers.
    pub question: String,
}

/// Where a person shows the second factor.
#[derive(Template)]
#[template(path = "mfa.html")]
#[derive(Debug)]
pub struct SecondFactor {
    pub frame: Frame,
    pub client: Option<String>,
    pub email: String,
    pub alert: Option<String>,
    pub csrf: String,
    /// What comes back with the form: what the sign-in leads to.
    pub fields: Vec<(&'static str, String)>,
    pub keys: Option<AskedKeys>,
    /// The person has authenticators, and they cannot be used here.
    pub keys_are_useless: bool,
    pub has_totp: bool,
    /// Where somebody else signs in.
    pub switch: String,
}

/// Where a person sets an app up that makes one-time passwords.
#[derive(Template)]
#[template(path = "mfa_totp.html")]
pub struct AddTotp {
    pub frame: Frame,
    pub email: String,
    pub alert: Option<String>,
    pub csrf: String,
    pub fields: Vec<(&'static str, String)>,
    /// The seed, sealed, to come back with the form.
    pub offer: String,
    /// The seed for the app's camera: an SVG of ours.
    pub qr: String,
    /// And for typing.
    pub seed: String,
    /// Whether the password is asked for: in a session, which somebody else may have found open.
    pub asks_password: bool,
    pub password_problem: Option<String>,
    pub code_problem: Option<String>,
    /// Where to add an authenticator that signs instead.
    pub other: Option<String>,
}

impl std::fmt::Debug for AddTotp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AddTotp").finish_non_exhaustive()
    }
}

/// Where a person adds an authenticator that signs.
#[derive(Template)]
#[template(path = "mfa_webauthn.html")]
#[derive(Debug)]
pub struct AddKey {
    pub frame: Frame,
    pub email: String,
    pub alert: Option<String>,
    pub csrf: String,
    pub fields: Vec<(&'static str, String)>,
    pub asked: AskedKeys,
    /// What the person calls it.
    pub name: String,
    pub asks_password: bool,
    pub password_problem: Option<String>,
    /// Where to add an app instead.
    pub other: Option<String>,
}

#[derive(Template)]
#[template(path = "recovery_codes.html")]
pub struct RecoveryCodes {
    pub frame: Frame,
    pub codes: Vec<String>,
    /// Where it goes on.
    pub next: String,
}

impl std::fmt::Debug for RecoveryCodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecoveryCodes").finish_non_exhaustive()
    }
}

/// The second factors of who is signed in.
#[derive(Template)]
#[template(path = "factors.html")]
#[derive(Debug)]
pub struct Factors {
    pub frame: Frame,
    pub email: String,
    pub notice: Option<&'static str>,
    pub alert: Option<String>,
    pub factors: Vec<AccountFactor>,
    pub codes_left: i64,
    pub csrf_codes: String,
    pub add_totp: Option<String>,
    pub add_key: Option<String>,
    /// Browsers know no authenticators at the tenant's address.
    pub no_keys_here: bool,
}

#[derive(Debug)]
pub struct AccountFactor {
    pub id: String,
    pub name: String,
    /// The day since when, as ISO 8601 writes it.
    pub since: String,
    /// The day of its last use, likewise.
    pub used: Option<String>,
    pub csrf: String,
}
