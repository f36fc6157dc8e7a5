//! Faults in the header.

use ed25519_dalek::SigningKey;
use hmac::{Hmac, KeyInit, Mac};
use saas_auth::token::TokenError::{self, Algorithm, Header, Malformed, Signature, Type, UnknownKey};
use sha2::{Sha256, Sha384, Sha512};

use super::{Row, row};
use crate::forge::{Forge, base64url, kid, sign_input};

pub(super) fn rows(forge: &Forge) -> Vec<Row> {
    [
        algorithms(forge),
        unsigned(forge),
        macs(forge),
        key_ids(forge),
        types(forge),
        members(forge),
        json(forge),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Another algorithm over a signature that is good for ours (RFC 8725 section 3.1).
fn algorithms(forge: &Forge) -> Vec<Row> {
    let words = [
        "none",
        "HS256",
        "HS384",
        "HS512",
        "ES256",
        "ES384",
        "ES512",
        "ES256K",
        "RS256",
        "PS256",
        "RSA-OAEP",
        "dir",
        "eddsa",
        "EDDSA",
        "EdDsa",
        "Ed25519",
        "Ed448",
        "EdDSA ",
        "EdDSA\u{0}",
        "",
    ];
    let words = words.map(|word| (format!("alg {word:?}, signed as EdDSA"), quoted(word), Algorithm));
    let others = ["1", "null", "true", r#"["EdDSA"]"#, r#"{"EdDSA":null}"#]
        .map(|raw| (format!("alg {raw}"), raw.to_owned(), Header));
    let mut rows: Vec<Row> = words
        .into_iter()
        .chain(others)
        .map(|(name, raw, refused)| row(name, forge.with_header(&forge.header.set("alg", &raw)), refused))
        .collect();
    rows.push(row("alg missing", forge.with_header(&forge.header.without("alg")), Header));
    rows.push(row(
        "ALG instead of alg",
        forge.with_header(&forge.header.without("alg").set("ALG", "\"EdDSA\"")),
        Header,
    ));
    rows
}

/// RFC 7515 section 3.6's unsecured form, in the spellings that slipped through elsewhere (RFC 8725 section 2.1).
fn unsigned(forge: &Forge) -> Vec<Row> {
    let spellings = ["none", "None", "NONE", "nOnE"];
    let rows = spellings.into_iter().flat_map(|word| {
        let header = forge.header.set("alg", &quoted(word)).text();
        let input = format!("{}.{}", base64url(header), base64url(forge.payload.text()));
        [
            row(format!("alg {word}, empty signature"), format!("{input}."), Malformed),
            row(format!("alg {word}, no signature part"), input.clone(), Malformed),
            row(format!("alg {word}, junk signature"), format!("{input}.{}", base64url([1; 64])), Algorithm),
        ]
    });
    rows.collect()
}

/// The public key taken for a shared secret (RFC 8725 section 2.1).
fn macs(forge: &Forge) -> Vec<Row> {
    let public = forge.key.verifying_key().to_bytes();
    let spki = [b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".as_slice(), &public].concat();
    let pem = {
        use base64::{Engine, engine::general_purpose::STANDARD};
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&spki))
    };
    let secrets = [
        ("the public key", public.to_vec()),
        ("the x of the JWK", base64url(public).into_bytes()),
        ("the key as SPKI", spki),
        ("the key as PEM", pem.into_bytes()),
        ("the JWK Set", forge.tokens.keys().jwks().body().to_vec()),
        ("nothing", Vec::new()),
    ];
    let input = |alg: &str| {
        let header = forge.header.set("alg", &quoted(alg)).text();
        format!("{}.{}", base64url(header), base64url(forge.payload.text()))
    };
    let rows = secrets.iter().flat_map(|(what, secret)| {
        [
            ("HS256", mac::<Hmac<Sha256>>(secret, &input("HS256"))),
            ("HS384", mac::<Hmac<Sha384>>(secret, &input("HS384"))),
            ("HS512", mac::<Hmac<Sha512>>(secret, &input("HS512"))),
        ]
        .map(|(alg, tag)| row(format!("{alg} keyed with {what}"), format!("{}.{tag}", input(alg)), Algorithm))
    });
    let mut rows: Vec<Row> = rows.collect();
    let tag = mac::<Hmac<Sha512>>(&public, forge.input());
    rows.push(row("an HMAC where the header says EdDSA", format!("{}.{tag}", forge.input()), Signature));
    rows
}

fn mac<M: Mac + KeyInit>(secret: &[u8], input: &str) -> String {
    let mac = <M as KeyInit>::new_from_slice(secret).expect("HMAC takes keys of any length");
    base64url(mac.chain_update(input).finalize().into_bytes())
}

/// `kid` is a name that is looked up in a map, nothing else (RFC 8725 section 3.10).
fn key_ids(forge: &Forge) -> Vec<Row> {
    let known = forge.header.raw("kid").trim_matches('"').to_owned();
    let retired = kid(forge.retired.verifying_key().as_bytes());
    let stranger = kid(forge.stranger.verifying_key().as_bytes());
    let texts = [
        ("unknown", stranger.clone(), UnknownKey),
        ("of another key of ours", retired, Signature),
        ("in lower case", known.to_lowercase(), UnknownKey),
        ("with a space after it", format!("{known} "), UnknownKey),
        ("with NUL after it", format!("{known}\u{0}"), UnknownKey),
        ("with padding", format!("{known}="), UnknownKey),
        ("that is a path", "../../../../../../dev/null".to_owned(), UnknownKey),
        ("that is SQL", "' UNION SELECT 'key' --".to_owned(), UnknownKey),
        ("that is a URL", "https://evil.example/jwks.json".to_owned(), UnknownKey),
        ("that is a command", "|/usr/bin/id".to_owned(), UnknownKey),
        ("of 65 bytes", "k".repeat(65), Header),
        ("of 2000 bytes", "k".repeat(2000), Header),
        ("empty", String::new(), Header),
    ];
    let texts = texts.map(|(name, text, refused)| (name, quoted(&text), refused));
    let list = format!("[{}]", quoted(&known));
    let others = [("a number", "1"), ("null", "null"), ("a list", list.as_str()), ("an object", "{}")]
        .map(|(name, raw)| (name, raw.to_owned(), Header));
    let mut rows: Vec<Row> = texts
        .into_iter()
        .chain(others)
        .map(|(name, raw, refused)| {
            row(format!("kid {name}"), forge.with_header(&forge.header.set("kid", &raw)), refused)
        })
        .collect();
    rows.push(row("kid missing", forge.with_header(&forge.header.without("kid")), Header));
    rows.push(row(
        "signed by a stranger under our kid",
        sign_input(&forge.stranger, forge.input()),
        Signature,
    ));
    rows.push(row(
        "signed by a retired key under the active kid",
        sign_input(&forge.retired, forge.input()),
        Signature,
    ));
    rows.push(row(
        "signed by a stranger under its own kid",
        by(&forge.stranger, forge, &stranger),
        UnknownKey,
    ));
    rows
}

fn by(key: &SigningKey, forge: &Forge, kid: &str) -> String {
    let header = forge.header.set("kid", &quoted(kid)).text();
    sign_input(key, &format!("{}.{}", base64url(header), base64url(forge.payload.text())))
}

/// Other kinds of tokens (RFC 8725 section 3.11, RFC 9068 section 4).
fn types(forge: &Forge) -> Vec<Row> {
    let words = [
        "JWT",
        "jwt",
        "at+JWT",
        "AT+JWT",
        "application/at+jwt",
        "at+jwt ",
        "id+jwt",
        "refresh+jwt",
        "rt+jwt",
        "logout+jwt",
        "dpop+jwt",
        "JOSE",
        "",
    ];
    let rows = words.map(|word| (format!("typ {word:?}"), quoted(word), Type));
    let others = ["null", "1", r#"["at+jwt"]"#].map(|raw| (format!("typ {raw}"), raw.to_owned(), Header));
    let mut rows: Vec<Row> = rows
        .into_iter()
        .chain(others)
        .map(|(name, raw, refused)| row(name, forge.with_header(&forge.header.set("typ", &raw)), refused))
        .collect();
    rows.push(row("typ missing", forge.with_header(&forge.header.without("typ")), Header));
    rows
}

/// Members that a verifier must understand or must not trust (RFC 7515 section 4.1, RFC 7797, RFC 7516 section 4.1).
fn members(forge: &Forge) -> Vec<Row> {
    let stranger = base64url(forge.stranger.verifying_key().as_bytes());
    let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{stranger}"}}"#);
    let extra = [
        ("crit", r#"["exp"]"#),
        ("crit", r#"["b64"]"#),
        ("crit", r#"["http://evil.example/unknown"]"#),
        ("crit", "[]"),
        ("crit", "null"),
        ("b64", "false"),
        ("b64", "true"),
        ("jwk", jwk.as_str()),
        ("jku", r#""https://evil.example/jwks.json""#),
        ("x5u", r#""https://evil.example/chain.pem""#),
        ("x5c", r#"["MIIB"]"#),
        ("x5t", r#""AAAA""#),
        ("x5t#S256", r#""AAAA""#),
        ("zip", r#""DEF""#),
        ("cty", r#""JWT""#),
        ("enc", r#""A128GCM""#),
        ("p2c", "2147483647"),
        ("nonce", r#""n""#),
        ("url", r#""https://evil.example""#),
        ("iss", r#""https://saas.example""#),
        ("unheard-of", "1"),
        ("", "1"),
    ];
    let mut rows: Vec<Row> = extra
        .into_iter()
        .map(|(name, raw)| {
            row(
                format!("header with {name:?}: {raw}"),
                forge.with_header(&forge.header.set(name, raw)),
                Header,
            )
        })
        .collect();
    let unencoded = forge.header.set("b64", "false").set("crit", r#"["b64"]"#);
    rows.push(row("header with b64 false and crit b64", forge.with_header(&unencoded), Header));
    let header = forge.header.set("jwk", &jwk).text();
    let input = format!("{}.{}", base64url(header), base64url(forge.payload.text()));
    rows.push(row("signed by the jwk in the header", sign_input(&forge.stranger, &input), Header));
    rows
}

/// Headers that two readers could read differently.
fn json(forge: &Forge) -> Vec<Row> {
    let text = forge.header.text();
    let inside = text.trim_start_matches('{').trim_end_matches('}');
    let known = forge.header.raw("kid");
    let nest = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let cases: [(&str, Vec<u8>, TokenError); 17] = [
        ("alg twice, equal", forge.header.and("alg", "\"EdDSA\"").text().into(), Malformed),
        ("alg twice, none last", forge.header.and("alg", "\"none\"").text().into(), Malformed),
        ("alg twice, none first", format!(r#"{{"alg":"none",{inside}}}"#).into(), Malformed),
        ("alg twice, one escaped", forge.header.and("\\u0061lg", "\"HS256\"").text().into(), Malformed),
        ("kid twice", forge.header.and("kid", known).text().into(), Malformed),
        ("typ twice", forge.header.and("typ", "\"JWT\"").text().into(), Malformed),
        ("a member twice in a jwk", forge.header.set("jwk", r#"{"x":1,"x":2}"#).text().into(), Malformed),
        ("an array", format!(r#"["at+jwt","EdDSA",{known}]"#).into(), Malformed),
        ("a string", quoted(&text).into(), Malformed),
        ("null", b"null".to_vec(), Malformed),
        ("an empty object", b"{}".to_vec(), Header),
        ("a BOM before it", [b"\xef\xbb\xbf", text.as_bytes()].concat(), Malformed),
        ("a byte after it", format!("{text}x").into(), Malformed),
        ("an object after it", format!("{text}{{}}").into(), Malformed),
        ("a byte that is not UTF-8", [b"{\"jwk\":\"\xff\",", inside.as_bytes(), b"}"].concat(), Malformed),
        ("arrays eight deep", forge.header.set("jwk", "[[[[[[[[]]]]]]]]").text().into(), Malformed),
        ("arrays 500 deep", forge.header.set("jwk", &nest).text().into(), Malformed),
    ];
    cases
        .into_iter()
        .map(|(name, header, refused)| {
            row(format!("header: {name}"), forge.sign(header, forge.payload.text()), refused)
        })
        .collect()
}
