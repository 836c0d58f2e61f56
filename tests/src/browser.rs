//! A browser without a screen: keeps cookies, follows redirects within the site, finds forms and sends them.

use std::sync::Arc;

use reqwest::cookie::{CookieStore as _, Jar};
use reqwest::header::{COOKIE, HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};
use scraper::{ElementRef, Html, Selector};
use url::Url;

use crate::tenant::User;
use crate::web;

#[derive(Clone, Debug)]
pub struct Browser {
    http: reqwest::Client,
    jar: Arc<Jar>,
}

#[derive(Clone, Debug)]
pub struct Page {
    pub url: Url,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
    /// Where a redirect would take the browser away from the site: the relying party's callback. Not followed.
    pub leaves_to: Option<Url>,
    /// Statuses and URLs of the redirects on the way here.
    pub hops: Vec<(u16, Url)>,
    /// Every `Set-Cookie` on the way here.
    pub set_cookies: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Form {
    pub action: Url,
    pub method: Method,
    pub fields: Vec<Field>,
    pub buttons: Vec<Button>,
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub kind: String,
    pub value: String,
}

#[derive(Clone, Debug)]
pub struct Button {
    pub name: Option<String>,
    pub value: String,
    pub label: String,
}

impl Default for Browser {
    fn default() -> Self {
        Self::new()
    }
}

impl Browser {
    pub fn new() -> Self {
        Self::with(web::builder())
    }

    /// One at another address of this machine.
    pub fn from_address(address: std::net::IpAddr) -> Self {
        Self::with(web::builder().local_address(address))
    }

    /// One that claims to be somebody else, or whose proxy says so.
    pub fn claiming(address: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", address.parse().expect("an address is a header's value"));
        Self::with(web::builder().default_headers(headers))
    }

    /// One that sends this header with each request.
    pub fn with_header(name: &'static str, value: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header's value"));
        Self::with(web::builder().default_headers(headers))
    }

    /// One that connects in its own way.
    pub fn with(builder: reqwest::ClientBuilder) -> Self {
        let jar = Arc::new(Jar::default());
        let http = builder.cookie_provider(Arc::clone(&jar)).build().expect("an HTTP client can be made");
        Self { http, jar }
    }

    pub async fn open(&self, url: &Url) -> Page {
        self.walk(self.http.get(url.clone()), url.clone()).await
    }

    /// A page that must show itself: 200, no redirect away.
    pub async fn open_page(&self, url: &Url) -> Page {
        let page = self.open(url).await;
        assert!(page.status == 200 && page.leaves_to.is_none(), "want a page: {page:#?}");
        page
    }

    /// Sends the form as it stands, with these fields filled in and this button pressed.
    pub async fn submit(&self, form: &Form, fill: &[(&str, &str)], button: Option<&Button>) -> Page {
        self.walk(self.submission(form, fill, button), form.action.clone()).await
    }

    pub fn submission(&self, form: &Form, fill: &[(&str, &str)], button: Option<&Button>) -> reqwest::RequestBuilder {
        let mut values: Vec<(&str, &str)> = Vec::new();
        for field in &form.fields {
            let filled = fill.iter().find(|(name, _)| *name == field.name);
            values.push((&field.name, filled.map_or(field.value.as_str(), |(_, value)| *value)));
        }
        if let Some(Button { name: Some(name), value, .. }) = button {
            values.push((name, value));
        }
        if form.method == Method::GET {
            return self.http.get(form.action.clone()).query(&values);
        }
        // What a browser sends with a form; a server may check it against cross-site requests.
        self.http.post(form.action.clone()).header("origin", form.action.origin().ascii_serialization()).form(&values)
    }

    async fn walk(&self, request: reqwest::RequestBuilder, mut url: Url) -> Page {
        const MOST: usize = 12;
        let site = url.origin();
        let (mut request, mut hops, mut set_cookies) = (request, Vec::new(), Vec::new());
        loop {
            let answer = web::send(request).await;
            let cookies = answer.headers.get_all("set-cookie").iter();
            set_cookies.extend(cookies.filter_map(|value| value.to_str().ok()).map(ToOwned::to_owned));
            let status = StatusCode::from_u16(answer.status).expect("an answer has a status");
            let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            let target = location
                .filter(|_| status.is_redirection())
                .map(|location| url.join(location).unwrap_or_else(|error| panic!("Location {location:?}: {error}")));
            let page = |leaves_to, hops, set_cookies| Page {
                url: url.clone(),
                status: answer.status,
                headers: answer.headers.clone(),
                body: answer.text.clone(),
                leaves_to,
                hops,
                set_cookies,
            };
            match target {
                Some(target) if target.origin() == site => {
                    hops.push((answer.status, target.clone()));
                    assert!(hops.len() < MOST, "redirected in circles: {hops:#?}");
                    // 307 and 308 would repeat the POST; the tests that forbid them look at `hops`.
                    request = self.http.get(target.clone());
                    url = target;
                }
                Some(target) => {
                    hops.push((answer.status, target.clone()));
                    return page(Some(target), hops, set_cookies);
                }
                None => return page(None, hops, set_cookies),
            }
        }
    }

    /// Walks from an authorization request to the callback, signing in and consenting where it is asked to.
    pub async fn authorize(&self, url: &Url, user: &User) -> Url {
        const MOST: usize = 4;
        let mut page = self.open(url).await;
        for _ in 0..MOST {
            if let Some(callback) = page.leaves_to {
                return callback;
            }
            page = match page.form() {
                Some(form) if form.asks_for_password() => self.sign_in(&form, &user.email, &user.password).await,
                Some(form) if form.is_consent() => self.consent(&form).await,
                _ => panic!("neither sign-in nor consent: {page:#?}"),
            };
        }
        page.leaves_to.unwrap_or_else(|| panic!("asked again and again"))
    }

    pub async fn sign_in(&self, form: &Form, email: &str, password: &str) -> Page {
        self.submit(form, &[(form.email_field(), email), (form.password_field(), password)], form.buttons.first()).await
    }

    pub async fn consent(&self, form: &Form) -> Page {
        self.submit(form, &[], Some(form.button(&["allow", "accept", "approve", "continue"]))).await
    }

    pub async fn deny(&self, form: &Form) -> Page {
        self.submit(form, &[], Some(form.button(&["deny", "cancel", "decline", "reject"]))).await
    }

    /// The `Cookie` header that it would send there.
    pub fn cookies(&self, url: &Url) -> String {
        self.jar.cookies(url).and_then(|value| value.to_str().map(ToOwned::to_owned).ok()).unwrap_or_default()
    }

    /// A request without this browser's help, but with the given cookies.
    pub fn request_with_cookies(url: &Url, cookies: &str) -> reqwest::RequestBuilder {
        web::client().get(url.clone()).header(COOKIE, cookies)
    }
}

impl Page {
    /// The page's first form.
    pub fn form(&self) -> Option<Form> {
        self.forms().into_iter().next()
    }

    pub fn forms(&self) -> Vec<Form> {
        let document = Html::parse_document(&self.body);
        document.select(&selector("form")).map(|form| self.read(form)).collect()
    }

    /// The first form with a field of that name.
    #[track_caller]
    pub fn form_with(&self, name: &str) -> Form {
        let form = self.forms().into_iter().find(|form| form.fields.iter().any(|field| field.name == name));
        form.unwrap_or_else(|| panic!("no form with {name}: {self:#?}"))
    }

    fn read(&self, form: ElementRef<'_>) -> Form {
        let action = form.attr("action").unwrap_or_default();
        let method = form.attr("method").unwrap_or("get").eq_ignore_ascii_case("post");
        let text = |element: &ElementRef<'_>, name: &str| element.attr(name).unwrap_or_default().to_owned();
        let mut fields = Vec::new();
        let mut buttons = Vec::new();
        for element in form.select(&selector("input, button")) {
            let kind = text(&element, "type");
            if element.value().name() == "button" || kind == "submit" {
                buttons.push(Button {
                    name: element.attr("name").map(ToOwned::to_owned),
                    value: text(&element, "value"),
                    label: element.text().collect::<String>().trim().to_owned(),
                });
            } else if element.attr("name").is_some() {
                fields.push(Field { name: text(&element, "name"), kind, value: text(&element, "value") });
            }
        }
        Form {
            action: self.url.join(action).expect("a form's action is a URL"),
            method: if method { Method::POST } else { Method::GET },
            fields,
            buttons,
        }
    }

    /// The target of the first link whose target names `word`.
    pub fn link(&self, word: &str) -> Option<Url> {
        let document = Html::parse_document(&self.body);
        let links = selector("a[href]");
        let mut targets = document.select(&links).filter_map(|element| self.url.join(element.attr("href")?).ok());
        targets.find(|target| target.path().contains(word))
    }

    #[track_caller]
    pub fn expect_form(&self) -> Form {
        self.form().unwrap_or_else(|| panic!("no form: {self:#?}"))
    }

    #[track_caller]
    pub fn expect_callback(&self) -> Url {
        self.leaves_to.clone().unwrap_or_else(|| panic!("not redirected to the relying party: {self:#?}"))
    }

    /// The text that a person reads.
    pub fn text(&self) -> String {
        Html::parse_document(&self.body).root_element().text().collect::<Vec<_>>().join(" ")
    }
}

impl Form {
    pub fn asks_for_password(&self) -> bool {
        self.fields.iter().any(|field| field.kind == "password")
    }

    fn is_consent(&self) -> bool {
        self.buttons.len() >= 2
    }

    #[track_caller]
    pub fn email_field(&self) -> &str {
        let field = self.fields.iter().find(|field| field.kind == "email" || field.name == "email");
        field.map_or_else(|| panic!("no field for an e-mail address: {self:#?}"), |field| &field.name)
    }

    #[track_caller]
    pub fn password_field(&self) -> &str {
        let field = self.fields.iter().find(|field| field.kind == "password");
        field.map_or_else(|| panic!("no field for a password: {self:#?}"), |field| &field.name)
    }

    #[track_caller]
    fn button(&self, words: &[&str]) -> &Button {
        let says = |button: &&Button| {
            let text = format!("{} {}", button.value, button.label).to_lowercase();
            words.iter().any(|word| text.contains(word))
        };
        self.buttons.iter().find(says).unwrap_or_else(|| panic!("no button {words:?}: {self:#?}"))
    }
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).expect("a CSS selector")
}
