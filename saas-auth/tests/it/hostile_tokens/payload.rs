//! Faults in the payload, behind a good header and a good signature.

use saas_auth::token::TokenError::{
    self, Audience, Claims, Expired, Issuer, Lifetime, Malformed, NotYetValid, Use,
};

use super::{Row, row};
use crate::forge::Forge;

pub(super) fn rows(forge: &Forge) -> Vec<Row> {
    [
        times(forge),
        time_forms(forge),
        identities(forge),
        values(forge),
        missing(forge),
        duplicates(forge),
        json(forge),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn claim_rows<'c>(
    forge: &Forge,
    cases: impl IntoIterator<Item = (&'c str, &'c str, TokenError)>,
) -> Vec<Row> {
    cases
        .into_iter()
        .map(|(claim, raw, refused)| {
            let shown: String = raw.chars().take(60).collect();
            row(format!("{claim} {shown}"), forge.with_payload(&forge.payload.set(claim, raw)), refused)
        })
        .collect()
}

/// Times that are well formed and wrong (RFC 7519 section 4.1.4 to 4.1.6).
fn times(forge: &Forge) -> Vec<Row> {
    let cases = [
        ("exp", "a second ago", -1, Expired),
        ("exp", "now", 0, Expired),
        ("exp", "a day ago", -86_400, Expired),
        ("exp", "a second more than 15 minutes ahead", 901, Lifetime),
        ("exp", "a year ahead", 31_536_000, Lifetime),
        ("iat", "31 seconds ahead", 31, NotYetValid),
        ("iat", "a day ahead", 86_400, NotYetValid),
        ("iat", "an hour ago with exp as it was", -3600, Lifetime),
        ("nbf", "31 seconds ahead", 31, NotYetValid),
        ("nbf", "a day ahead", 86_400, NotYetValid),
        ("auth_time", "31 seconds ahead", 31, NotYetValid),
    ];
    let mut rows: Vec<Row> = cases
        .into_iter()
        .map(|(claim, name, offset, refused)| {
            let time = (forge.now + offset).to_string();
            row(format!("{claim} {name}"), forge.with_payload(&forge.payload.set(claim, &time)), refused)
        })
        .collect();
    let backwards =
        forge.payload.set("exp", &(forge.now + 10).to_string()).set("iat", &(forge.now + 20).to_string());
    rows.push(row("exp before iat, both acceptable alone", forge.with_payload(&backwards), Lifetime));
    rows
}

/// Times that are not whole seconds in a sane range, though many readers take them.
fn time_forms(forge: &Forge) -> Vec<Row> {
    let good = forge.now + 600;
    let (text, float, fraction) = (format!("\"{good}\""), format!("{good}.0"), format!("{good}.5"));
    let (list, object) = (format!("[{good}]"), format!("{{\"n\":{good}}}"));
    let forms = [
        ("a string", text.as_str()),
        ("a float", &float),
        ("a fraction", &fraction),
        ("with an exponent", "1767226200e0"),
        ("1e10", "1e10"),
        ("negative", "-1"),
        ("minus zero", "-0"),
        ("beyond the year 9999", "253402300800"),
        ("the greatest i64", "9223372036854775807"),
        ("one more than the greatest i64", "9223372036854775808"),
        ("the greatest u64", "18446744073709551615"),
        ("more than any u64", "99999999999999999999999"),
        ("null", "null"),
        ("true", "true"),
        ("a list", &list),
        ("an object", &object),
    ];
    let rows = ["exp", "iat", "nbf", "auth_time"].into_iter().flat_map(|claim| {
        forms.map(|(name, raw)| {
            row(format!("{claim}: {name}"), forge.with_payload(&forge.payload.set(claim, raw)), Claims)
        })
    });
    let broken = [
        ("infinite", "1e999"),
        ("not a number", "NaN"),
        ("with a leading zero", "01767226200"),
        ("hexadecimal", "0x7fffffff"),
    ];
    let broken = broken.map(|(name, raw)| {
        row(format!("exp: {name}"), forge.with_payload(&forge.payload.set("exp", raw)), Malformed)
    });
    rows.chain(broken).collect()
}

/// Another issuer, audience or subject (RFC 8725 section 3.8 and 3.9).
fn identities(forge: &Forge) -> Vec<Row> {
    let subject = forge.payload.raw("sub").trim_matches('"').to_owned();
    let id = subject.trim_start_matches("user:").to_owned();
    let subjects = [
        ("without its prefix", id.clone()),
        ("of a service", format!("service:{id}")),
        ("with the prefix in upper case", format!("USER:{id}")),
        ("with the prefix twice", format!("user:{subject}")),
        ("without an id", "user:".to_owned()),
        ("with a name for an id", "user:admin".to_owned()),
        ("with the id in upper case", format!("user:{}", id.to_uppercase())),
        ("with the id without hyphens", format!("user:{}", id.replace('-', ""))),
        ("with the id in braces", format!("user:{{{id}}}")),
        ("with the id as a URN", format!("user:urn:uuid:{id}")),
        ("with a space after it", format!("{subject} ")),
        ("empty", String::new()),
    ];
    let mut rows: Vec<Row> = subjects
        .into_iter()
        .map(|(name, text)| {
            row(
                format!("sub {name}"),
                forge.with_payload(&forge.payload.set("sub", &format!("\"{text}\""))),
                Claims,
            )
        })
        .collect();
    rows.extend(claim_rows(
        forge,
        [
            ("iss", r#""https://evil.example""#, Issuer),
            ("iss", r#""https://saas.example/""#, Issuer),
            ("iss", r#""HTTPS://SAAS.EXAMPLE""#, Issuer),
            ("iss", r#""""#, Issuer),
            ("iss", r#"["https://saas.example"]"#, Claims),
            ("iss", "null", Claims),
            ("aud", r#""another-api""#, Audience),
            ("aud", r#""Agent-Api""#, Audience),
            ("aud", r#""agent-api agent-api""#, Audience),
            ("aud", r#""""#, Audience),
            ("aud", r#"["agent-api"]"#, Claims),
            ("aud", r#"["another-api","agent-api"]"#, Claims),
            ("aud", "[]", Claims),
            ("aud", "null", Claims),
            ("sub", "1", Claims),
            ("sub", "null", Claims),
            ("client_id", r#""another-client""#, Use),
            ("client_id", "null", Claims),
        ],
    ));
    rows
}

/// The claims of our own, in other types, spellings and ranges.
fn values(forge: &Forge) -> Vec<Row> {
    let tenant = forge.payload.raw("tenant_id");
    let (bare, loud) = (tenant.replace('-', ""), tenant.to_uppercase());
    claim_rows(
        forge,
        [
            ("token_use", r#""refresh""#, Use),
            ("token_use", r#""id""#, Use),
            ("token_use", r#""ACCESS""#, Use),
            ("token_use", "null", Claims),
            ("tenant_id", "null", Claims),
            ("tenant_id", r#""""#, Claims),
            ("tenant_id", r#""*""#, Claims),
            ("tenant_id", &bare, Claims),
            ("tenant_id", &loud, Claims),
            ("sid", "null", Claims),
            ("sid", r#""session""#, Claims),
            ("jti", r#""1""#, Claims),
            ("jti", "1", Claims),
            ("ver", r#""1""#, Claims),
            ("ver", "1.0", Claims),
            ("ver", "-1", Claims),
            ("ver", "null", Claims),
            ("amr", r#""pwd""#, Claims),
            ("amr", "[1]", Claims),
            ("acr", "1", Claims),
            ("scope", r#"["tools:read"]"#, Claims),
            ("scope", r#""*""#, Claims),
            ("scope", r#""*:*""#, Claims),
            ("scope", r#""tools:read  tools:write""#, Claims),
            ("scope", r#""tools:read tools:read""#, Claims),
            ("scope", r#"" tools:read""#, Claims),
            ("roles", r#""owner""#, Claims),
            ("roles", r#"["root"]"#, Claims),
            ("roles", r#"["Owner"]"#, Claims),
            ("roles", r#"[{"owner":null}]"#, Claims),
            ("email_verified", r#""true""#, Claims),
            ("email_verified", "1", Claims),
            ("admin", "true", Claims),
            ("act", r#"{"sub":"user:01890a5d-ac96-774b-bcce-b302099a8057"}"#, Claims),
            ("cnf", r#"{"jkt":"AAAA"}"#, Claims),
            ("__proto__", "{}", Claims),
        ],
    )
}

fn missing(forge: &Forge) -> Vec<Row> {
    let claims = [
        "iss",
        "aud",
        "sub",
        "exp",
        "iat",
        "nbf",
        "jti",
        "client_id",
        "sid",
        "tenant_id",
        "auth_time",
        "amr",
        "acr",
        "ver",
        "scope",
        "roles",
        "token_use",
        "email_verified",
    ];
    claims
        .map(|claim| {
            row(format!("{claim} missing"), forge.with_payload(&forge.payload.without(claim)), Claims)
        })
        .into()
}

/// One claim twice: RFC 7519 section 4 lets readers take either.
fn duplicates(forge: &Forge) -> Vec<Row> {
    let good = forge.payload.raw("exp");
    [
        ("exp twice, equal", forge.payload.and("exp", good)),
        ("exp twice, later last", forge.payload.and("exp", "253402300799")),
        ("exp twice, past first", forge.payload.set("exp", "1").and("exp", good)),
        ("sub twice", forge.payload.and("sub", "\"user:01890a5d-ac96-774b-bcce-b302099a8057\"")),
        ("sub twice, one escaped", forge.payload.and("s\\u0075b", "\"user:x\"")),
        ("tenant_id twice", forge.payload.and("tenant_id", forge.payload.raw("tenant_id"))),
        ("a claim twice inside an unknown one", forge.payload.and("x", r#"{"a":1,"a":1}"#)),
        ("a claim twice deep inside", forge.payload.and("x", r#"{"b":[{"a":1,"a":2}]}"#)),
    ]
    .map(|(name, payload)| row(name, forge.with_payload(&payload), Malformed))
    .into()
}

/// Payloads that are no JSON object, or not a strict one.
fn json(forge: &Forge) -> Vec<Row> {
    let text = forge.payload.text();
    let nest = |depth: usize, open: &str, close: &str| {
        forge.payload.set("x", &format!("{}1{}", open.repeat(depth), close.repeat(depth))).text().into_bytes()
    };
    let not_utf8 = |bytes: &[u8]| {
        let acr = forge.payload.set("acr", "\"????\"").text();
        let at = acr.find("????").expect("it was put there");
        let (before, after) = acr.as_bytes().split_at(at);
        [before, bytes, after].concat()
    };
    let cases = [
        ("an array of the values", format!("[{}]", forge.payload.values()).into_bytes(), Malformed),
        ("the object in an array", format!("[{text}]").into_bytes(), Malformed),
        (
            "the object in a string",
            serde_json::Value::from(text.as_str()).to_string().into_bytes(),
            Malformed,
        ),
        ("null", b"null".to_vec(), Malformed),
        ("a number", b"1".to_vec(), Malformed),
        ("an empty object", b"{}".to_vec(), Claims),
        // With the payload itself that is eight deep, which is read, and no claim of ours.
        ("an unknown claim of arrays seven deep", nest(7, "[", "]"), Claims),
        ("arrays eight deep", nest(8, "[", "]"), Malformed),
        ("objects eight deep", nest(8, r#"{"a":"#, "}"), Malformed),
        ("arrays 1000 deep", nest(1000, "[", "]"), Malformed),
        ("a BOM before it", [b"\xef\xbb\xbf", text.as_bytes()].concat(), Malformed),
        ("a byte after it", format!("{text}x").into_bytes(), Malformed),
        ("NUL after it", format!("{text}\0").into_bytes(), Malformed),
        ("an object after it", format!("{text}{text}").into_bytes(), Malformed),
        ("a comment after it", format!("{text}//").into_bytes(), Malformed),
        ("a comma at its end", text.replace('}', ",}").into_bytes(), Malformed),
        ("single quotes", text.replace('"', "'").into_bytes(), Malformed),
        ("cut in the middle", text.as_bytes()[..text.len() / 2].to_vec(), Malformed),
        ("a byte that is not UTF-8", not_utf8(b"\xff"), Malformed),
        ("an overlong encoding", not_utf8(b"\xc0\xaf"), Malformed),
        ("an encoded surrogate", not_utf8(b"\xed\xa0\x80"), Malformed),
        ("an escaped lone surrogate", not_utf8(br"\ud800"), Malformed),
        ("a raw control character", not_utf8(b"\n"), Malformed),
        ("UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect(), Malformed),
    ];
    let cases = cases.into_iter();
    cases
        .map(|(name, payload, refused)| {
            row(format!("payload: {name}"), forge.sign(forge.header.text(), payload), refused)
        })
        .collect()
}
