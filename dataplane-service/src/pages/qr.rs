//! A link as a QR code (ISO/IEC 18004), drawn into the page: nothing is loaded for it.

use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

/// An `<svg>` element; empty when the link is too long for any code.
pub fn svg(link: &str) -> String {
    let Ok(code) = QrCode::with_error_correction_level(link, EcLevel::M) else {
        return String::new();
    };
    let drawn = code.render::<svg::Color<'_>>().quiet_zone(false).build();
    // Without the XML declaration, which HTML does not know.
    drawn.find("<svg").and_then(|start| drawn.get(start..)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_element_without_script_or_the_link_itself() {
        let drawn = svg("https://id.example/t/acme/oauth2/device?user_code=BCDFGHJKL");
        assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"), "{drawn}");
        assert!(!drawn.contains("user_code") && !drawn.contains("<script"), "{drawn}");
        assert_eq!(svg(&"x".repeat(10_000)), "");
    }
}
