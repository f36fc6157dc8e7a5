//! The web pages that may call the API from a browser.

use url::Url;

use super::{SettingValue, TextList};

/// Origins as browsers send them: scheme, host and port, without a path. `*` stands for all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AllowedOrigins(Vec<String>);

impl AllowedOrigins {
    /// Whether every origin will do.
    pub fn is_any(&self) -> bool {
        self.0.iter().any(|origin| origin == "*")
    }

    /// The origins, each as a browser spells it.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl SettingValue for AllowedOrigins {
    const KIND: &'static str = "list of origins, as https://app.example.com";

    fn parse(text: &str) -> Result<Self, String> {
        TextList::parse(text)?.iter().map(origin).collect::<Result<_, _>>().map(Self)
    }

    fn shown(&self) -> Option<String> {
        Some(self.0.join(","))
    }
}

/// In the spelling of browsers: lower case, no port that the scheme implies.
fn origin(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    let wrong = || "has an entry that is no origin".to_owned();
    let url = Url::parse(text).map_err(|_| wrong())?;
    let plain = !text.contains('*')
        && matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if plain { Ok(url.origin().ascii_serialization()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::{AllowedOrigins, SettingValue};

    #[test]
    fn an_origin_is_spelled_as_browsers_do() {
        let list = AllowedOrigins::parse("https://App.example.com:443/, http://localhost:3000");
        assert_eq!(
            list.map(|list| list.0),
            Ok(vec!["https://app.example.com".to_owned(), "http://localhost:3000".to_owned()])
        );
        assert!(AllowedOrigins::parse("*").is_ok_and(|list| list.is_any()));
    }

    #[test]
    fn what_no_browser_sends_is_refused() {
        for text in [
            "app.example.com",
            "https://app.example.com/x",
            "https://*.example.com",
            "https://u:p@example.com",
            "null",
            "file:///x",
            "https://a?b",
        ] {
            assert!(AllowedOrigins::parse(text).is_err(), "{text}");
        }
    }
}
