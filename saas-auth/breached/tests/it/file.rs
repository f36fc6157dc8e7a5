//! The list in a file.

use std::{fmt::Write, path::Path, sync::Arc};

use proptest::{collection::btree_set, prop_assert, prop_assert_eq, proptest};
use saas_auth::conformance::breached_passwords::BreachedPasswordsSubject as Subject;
use saas_auth_breached::{BreachedFile, BreachedFileError};

use crate::{password, sha1};

/// Lines in their order, as the downloader writes them.
fn lines<'a>(passwords: impl IntoIterator<Item = &'a str>, end: &str) -> String {
    let mut hashes: Vec<String> = passwords.into_iter().map(sha1).collect();
    hashes.sort();
    hashes.iter().enumerate().fold(String::new(), |mut text, (number, hash)| {
        write!(text, "{hash}:{}{end}", 10_u64.pow(u32::try_from(number % 18).unwrap())).unwrap();
        text
    })
}

fn written(folder: &Path, text: &str) -> Result<BreachedFile, BreachedFileError> {
    let path = folder.join("pwned.txt");
    std::fs::write(&path, text).unwrap();
    BreachedFile::open(path)
}

async fn subject() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let noise: Vec<String> = (0..3_000).map(|number| format!("noise {number}")).collect();
    let all = Subject::LISTED.into_iter().chain(noise.iter().map(String::as_str));
    let list = written(folder.path(), &lines(all, "\r\n")).unwrap();
    // A copy that was cut off by something that is no list while it was open.
    let path = folder.path().join("away.txt");
    std::fs::write(&path, lines(["password", "noise"], "\r\n")).unwrap();
    let away = BreachedFile::open(&path).unwrap();
    std::fs::write(
        &path,
        "<html>this is no list any more, and not a short text either, for what it is worth</html>",
    )
    .unwrap();
    Subject::new(Arc::new(list), Some(Arc::new(away)), folder)
}

saas_auth::breached_passwords_conformance!(subject);

proptest! {
    #[test]
    fn every_line_is_found_wherever_it_stands_and_nothing_else(
        numbers in btree_set(0_u32..100_000, 1..200), other in 100_000_u32..200_000, crlf: bool, ends: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let texts: Vec<String> = numbers.iter().map(|number| format!("password {number}")).collect();
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = lines(texts.iter().map(String::as_str), end);
        if !ends {
            text.truncate(text.trim_end().len());
        }
        let list = written(folder.path(), &text).unwrap();
        for text in &texts {
            prop_assert!(list.contains(&password(text)).unwrap(), "{}", text);
        }
        let other = format!("password {other}");
        prop_assert_eq!(list.contains(&password(&other)).unwrap(), false);
    }
}

#[test]
fn a_count_of_nothing_is_nothing_and_small_digits_are_digits() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{}:0\n", sha1("password"));
    assert!(!written(folder.path(), &text).unwrap().contains(&password("password")).unwrap());
    let text = format!("{}:3\n", sha1("password").to_lowercase());
    assert!(written(folder.path(), &text).unwrap().contains(&password("password")).unwrap());
}

#[test]
fn what_is_no_list_is_refused_when_it_is_opened_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let missing = BreachedFile::open(folder.path().join("missing.txt")).unwrap_err();
    assert!(matches!(missing, BreachedFileError::Read { .. }), "{missing:?}");
    let (first, last) = (format!("{}:1\r\n", "0".repeat(40)), format!("{}:1\r\n", "F".repeat(40)));
    for text in [
        String::new(),
        "password\n".to_owned(),
        "x".repeat(4_000),
        format!("{last}{first}"),
        format!("{}\n", "0".repeat(40)),
    ] {
        let refused = written(folder.path(), &text).unwrap_err();
        assert!(matches!(refused, BreachedFileError::Malformed { .. }), "{refused:?}");
        assert!(refused.to_string().contains("haveibeenpwned-downloader"), "{refused}");
    }
}
