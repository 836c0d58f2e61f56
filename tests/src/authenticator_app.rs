//! The app on a person's phone that makes one-time passwords (RFC 6238), and how it is added to an account.

use scraper::{Html, Selector};
use totp_rs::{Builder, Secret, Totp};

use crate::browser::{Browser, Page};

#[derive(Debug)]
pub struct AuthenticatorApp {
    pub seed: String,
    totp: Totp,
}

impl AuthenticatorApp {
    /// Reads the seed off the page that shows it.
    #[track_caller]
    pub fn scan(page: &Page) -> Self {
        let selector = Selector::parse("#seed").expect("a CSS selector");
        let document = Html::parse_document(&page.body);
        let shown = document.select(&selector).next().unwrap_or_else(|| panic!("no seed: {page:#?}"));
        Self::of(&shown.text().collect::<String>())
    }

    pub fn of(shown: &str) -> Self {
        let seed = shown.trim().replace('-', "");
        let secret = Secret::try_from_base32(&seed).expect("the seed is base32");
        Self { totp: Builder::new().with_secret(secret).build().expect("the seed is long enough"), seed }
    }

    /// What it shows now.
    pub fn code(&self) -> String {
        self.totp.generate_current().to_string()
    }

    /// What it will show `steps` later, or showed earlier.
    pub fn code_in(&self, steps: i64) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
        self.totp.generate(now.saturating_add_signed(steps * 30)).to_string()
    }

    /// A code that is none of now, nor of the steps beside.
    pub fn wrong_code(&self) -> String {
        let near: Vec<String> = (-3..=3).map(|steps| self.code_in(steps)).collect();
        let wrong = (0..=near.len()).map(|number| format!("{number:06}")).find(|code| !near.contains(code));
        wrong.expect("they are one more than those near")
    }

    /// Adds it where `page` shows it, with the password if that is asked for. Returns the app, and the page that follows.
    pub async fn add(browser: &Browser, page: &Page, password: &str) -> (Self, Page) {
        let app = Self::scan(page);
        let form = page.form_with("offer");
        let page = browser.submit(&form, &[("code", &app.code()), ("current", password)], form.buttons.first()).await;
        (app, page)
    }
}

/// The recovery codes that a page shows.
pub fn recovery_codes(page: &Page) -> Vec<String> {
    let selector = Selector::parse("ol.codes code").expect("a CSS selector");
    Html::parse_document(&page.body).select(&selector).map(|code| code.text().collect()).collect()
}
