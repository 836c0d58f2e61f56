//! What pages show and what their headers allow.

use super::*;

const NASTY: &str = "<script>alert(1)</script>\"'&";

fn frame() -> Frame {
    Frame { tenant: NASTY.into(), base_path: "/t/acme".into(), nonce: "n0nce".into(), logo: None, accent: None }
}

fn about() -> About {
    About { logo: Some(NASTY.into()), terms: Some(NASTY.into()), privacy: Some(NASTY.into()) }
}

#[test]
fn whatever_users_and_clients_call_themselves_is_escaped() {
    let login = Login {
        frame: frame(),
        client: Some(NASTY.into()),
        about: about(),
        alert: Some(NASTY.into()),
        csrf: "c".into(),
        interaction: Some("i".into()),
        onward: vec![("next", NASTY.into())],
        email: NASTY.into(),
        forgot: None,
        providers: vec![Provider { name: NASTY.into(), href: "/t/acme/login/corp?interaction=i".into() }],
        register: Some("/t/acme/register?interaction=i".into()),
    };
    let consent = Consent {
        frame: frame(),
        asked: Asked {
            client: NASTY.into(),
            scopes: vec![NASTY.into()],
            details: vec![Detail { title: NASTY.into(), lines: vec![(NASTY.into(), NASTY.into())] }],
        },
        about: about(),
        email: NASTY.into(),
        csrf: "c".into(),
        interaction: "i".into(),
        destination: NASTY.into(),
        switch: "/t/acme/login".into(),
    };
    let register = Register {
        password_min_length: 8,
        frame: frame(),
        client: Some(NASTY.into()),
        alert: None,
        csrf: "c".into(),
        interaction: None,
        onward: vec![("next", NASTY.into())],
        email: NASTY.into(),
        name: NASTY.into(),
        email_problem: Some(NASTY.into()),
        name_problem: None,
        password_problem: None,
        login: "/t/acme/login".into(),
    };
    for html in [login.render().unwrap(), consent.render().unwrap(), register.render().unwrap()] {
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("\"'&"), "an attribute could be left: {html}");
        assert!(html.contains("&#60;script&#62;") || html.contains("&lt;script&gt;"), "{html}");
    }
}

#[test]
fn an_answer_is_posted_by_one_script_or_by_a_button() {
    let fields = vec![("code", "c".to_owned()), ("state", NASTY.to_owned())];
    let page = FormPost { frame: frame(), action: "https://app.example/cb?a=1&b=2".into(), fields };
    let html = page.render().unwrap();
    assert_eq!(html.matches("<script").count(), 1, "{html}");
    assert!(html.contains("<script nonce=\"n0nce\">") && html.contains("<button"), "{html}");
    let response = form_post(&page);
    let policy = response.headers().get("content-security-policy").unwrap().to_str().unwrap();
    assert!(policy.contains("script-src 'nonce-n0nce'") && policy.contains("form-action 'self' https:;"), "{policy}");
    assert!(!format!("{page:?}").contains("c\""));
}

#[test]
fn every_page_carries_the_headers() {
    let page = SignedOut { frame: frame(), frames: vec![], return_to: None };
    let response = show(StatusCode::OK, &page.frame, &page, Some("https://app.example/cb"));
    let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
    let policy = header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("'nonce-n0nce'"), "{policy}");
    assert!(policy.contains("form-action 'self' https:;") && !policy.contains("script-src"), "{policy}");
    assert_eq!(header("x-frame-options"), "DENY");
    assert_eq!(header("referrer-policy"), "no-referrer");
    assert_eq!(header("cache-control"), "no-store");
}

#[test]
fn only_the_logo_that_is_shown_is_permitted() {
    let page = SignedOut { frame: frame(), frames: vec![], return_to: None };
    let sources = |logo: Option<&str>| {
        let about = About { logo: logo.map(str::to_owned), ..About::default() };
        let response = show_about(StatusCode::OK, &page.frame, &page, None, &about);
        let policy = response.headers().get("content-security-policy").unwrap().to_str().unwrap().to_owned();
        let (_, rest) = policy.split_once("img-src ").unwrap();
        rest.split_once(';').unwrap().0.to_owned()
    };
    assert_eq!(sources(None), "data:");
    assert_eq!(sources(Some("https://a.example/logo.png?size=2")), "data: https://a.example/logo.png");
    assert_eq!(sources(Some("https://a.example/x;y, script-src *")), "data: https://a.example");
    assert_eq!(sources(Some(NASTY)), "data:");
}

#[test]
fn only_the_frames_that_are_shown_are_permitted() {
    let frames = ["https://a.example/out?iss=i&sid=s", "http://127.0.0.1:9000/x;y,z", "https://a.example/\"><script>"];
    let frames = frames.map(str::to_owned).to_vec();
    let page = SignedOut { frame: frame(), frames, return_to: Some("https://a.example/bye?state=\"'&".into()) };
    let response = show_signed_out(&page);
    let policy = response.headers().get("content-security-policy").unwrap().to_str().unwrap().to_owned();
    let (_, sources) = policy.split_once("frame-src ").unwrap();
    assert_eq!(sources, "https://a.example/out http://127.0.0.1:9000 https://a.example/%22%3E%3Cscript%3E");
    let html = page.render().unwrap();
    assert!(!html.contains("<script") && !html.contains("\"'&"), "{html}");
    let none = show_signed_out(&SignedOut { frames: vec![], ..page });
    assert!(!none.headers().get("content-security-policy").unwrap().to_str().unwrap().contains("frame-src"));
}

#[test]
fn only_a_scheme_gets_into_the_policy() {
    assert!(policy(&frame(), Some("com.example.app:/cb"), None).contains("form-action 'self' com.example.app:;"));
    assert!(policy(&frame(), Some("x; script-src *:/cb"), None).contains("form-action 'self';"));
    assert!(policy(&frame(), None, None).contains("form-action 'self';"));
}
