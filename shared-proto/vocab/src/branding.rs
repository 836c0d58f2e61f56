//! How a tenant meets its people: the look of its pages, and the words of its mail.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A tenant's `settings.branding`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Branding {
    /// An image that every page shows in place of the tenant's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo_uri: Option<String>,
    /// Of the buttons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accent_color: Option<Color>,
    /// What mail says, in place of our words.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mails: BTreeMap<MailKind, MailTemplate>,
}

impl Branding {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A colour of sRGB. In text as CSS writes it: `#` and six hexadecimal digits (CSS Color 4 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color([u8; 3]);

/// It is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a colour such as #2346c4")]
pub struct InvalidColor;

impl Color {
    const BLACK: Self = Self([0; 3]);
    const WHITE: Self = Self([255; 3]);

    /// Black or white, whichever is easier to read on it. One of them always has a contrast of 4.5 or more, which is what
    /// text needs (WCAG 2.2 §1.4.3).
    #[must_use]
    pub fn ink(self) -> Self {
        // Where both contrast alike (§ "contrast ratio"): (1.05)/(x + 0.05) = (x + 0.05)/0.05.
        const BALANCE: f64 = 0.179_128_784_747_792;
        if self.relative_luminance() > BALANCE { Self::BLACK } else { Self::WHITE }
    }

    /// WCAG 2.2, "relative luminance": 0 of black, 1 of white.
    fn relative_luminance(self) -> f64 {
        let linear = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

impl FromStr for Color {
    type Err = InvalidColor;

    fn from_str(text: &str) -> Result<Self, InvalidColor> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6).ok_or(InvalidColor)?;
        // A sign would be taken by the parser of numbers.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(InvalidColor);
        }
        let value = u32::from_str_radix(digits, 16).map_err(|_| InvalidColor)?;
        let [_, red, green, blue] = value.to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

impl Serialize for Color {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <std::borrow::Cow<'_, str>>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The mails whose words a tenant may choose. Those that tell of a change to the account are not among them: nobody is to
/// be kept from noticing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailKind {
    /// The link at which to choose another password.
    ResetPassword,
    /// The link that shows whose the address is.
    VerifyEmail,
    /// The link to what a client asks a person elsewhere (OIDC CIBA).
    SignInRequest,
}

impl MailKind {
    pub const ALL: [Self; 3] = [Self::ResetPassword, Self::VerifyEmail, Self::SignInRequest];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ResetPassword => "reset_password",
            Self::VerifyEmail => "verify_email",
            Self::SignInRequest => "sign_in_request",
        }
    }

    /// What may stand in its words, as `{{ name }}`.
    pub const fn placeholders(self) -> &'static [&'static str] {
        match self {
            Self::ResetPassword | Self::VerifyEmail => &["tenant", "link", "minutes"],
            Self::SignInRequest => &["tenant", "link", "minutes", "client", "binding_message"],
        }
    }
}

/// The words of a mail, with [placeholders](MailKind::placeholders). They compute nothing: what a tenant writes runs on
/// pods that others share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailTemplate {
    pub subject: String,
    pub text: String,
    /// For readers that show HTML. Absent: there is only the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
}

/// Why a text cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    #[error("there is no {{{{ {0} }}}} here")]
    Unknown(String),
    #[error("a {{{{ is not closed")]
    Open,
}

/// `text` with what `value` says in place of each `{{ name }}`.
pub fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, FillError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, behind) = after.split_once("}}").ok_or(FillError::Open)?;
        let name = name.trim();
        filled.push_str(before);
        filled.push_str(&value(name).ok_or_else(|| FillError::Unknown(name.to_owned()))?);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_color_is_one_of_css_and_nothing_else() {
        let color: Color = "#2346C4".parse().unwrap();
        assert_eq!(color.to_string(), "#2346c4");
        assert_eq!(serde_json::from_str::<Color>("\"#2346c4\"").unwrap(), color);
        for wrong in ["", "#", "2346c4", "#234", "#2346c4f", "#2346cg", "#+346c4", "red", "#2346c4;}body{}", "#äää"]
        {
            assert_eq!(wrong.parse::<Color>(), Err(InvalidColor), "{wrong}");
        }
    }

    #[test]
    fn text_on_any_color_can_be_read() {
        for value in (0..=255u8).step_by(15) {
            for color in [[value, 0, 0], [0, value, 0], [0, 0, value], [value; 3], [255 - value, value, 128]].map(Color)
            {
                let (back, ink) = (color.relative_luminance(), color.ink().relative_luminance());
                let contrast = (back.max(ink) + 0.05) / (back.min(ink) + 0.05);
                assert!(contrast >= 4.5, "{color}: {contrast}");
            }
        }
        assert_eq!((Color::WHITE.ink(), Color::BLACK.ink()), (Color::BLACK, Color::WHITE));
    }

    #[test]
    fn placeholders_are_filled_in_and_nothing_else_is_understood() {
        let value = |name: &str| match name {
            "link" => Some("https://id.example/?a=1&b={{ tenant }}".to_owned()),
            "tenant" => Some("Acme".to_owned()),
            _ => None,
        };
        assert_eq!(fill("{{tenant}}: {{ link }}.", value).unwrap(), "Acme: https://id.example/?a=1&b={{ tenant }}.");
        assert_eq!(fill("a { b } } c {% if x %}", value).unwrap(), "a { b } } c {% if x %}");
        assert_eq!(fill("{{ link", value), Err(FillError::Open));
        for unknown in ["{{}}", "{{ links }}", "{{ link|upper }}", "{{ 7 * 7 }}", "{{ {{ link }} }}"] {
            assert!(matches!(fill(unknown, value), Err(FillError::Unknown(_))), "{unknown}");
        }
    }

    #[test]
    fn kinds_are_called_alike_everywhere() {
        for kind in MailKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
