//! The pages that mails with links lead to, and those that send them.

use askama::Template;

use super::Frame;

/// Where a person asks for a link to choose another password.
#[derive(Template)]
#[template(path = "forgot_password.html")]
#[derive(Debug)]
pub struct ForgotPassword {
    pub frame: Frame,
    pub alert: Option<String>,
    pub email: String,
    pub csrf: String,
}

/// Where a person chooses another password, whom a mail's link brought.
#[derive(Template)]
#[template(path = "reset_password.html")]
pub struct ResetPassword {
    pub frame: Frame,
    pub email: String,
    pub problem: Option<String>,
    pub min_length: u32,
    pub code: String,
    pub csrf: String,
}

/// Where a person says that the address is hers, or asks for the mail that lets her.
#[derive(Template)]
#[template(path = "verify_email.html")]
pub struct VerifyEmail {
    pub frame: Frame,
    pub email: String,
    /// Of the mail's link; `None`: there was none yet.
    pub code: Option<String>,
    pub alert: Option<String>,
    pub csrf: String,
}

/// That something was done, and where to go on.
#[derive(Template)]
#[template(path = "notice.html")]
#[derive(Debug)]
pub struct Notice {
    pub frame: Frame,
    pub title: &'static str,
    pub text: &'static str,
    pub onward: (String, &'static str),
}

/// It holds the code.
impl std::fmt::Debug for ResetPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResetPassword(…)")
    }
}

/// It holds the code.
impl std::fmt::Debug for VerifyEmail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VerifyEmail(…)")
    }
}
