//! JSON without the latitude that makes two readers disagree about one text.
//!
//! RFC 7515 section 4 and RFC 7519 section 4 let a reader refuse a member that is there twice or take the last one; readers that differ
//! are an attack. So: no member twice at any depth, no deep nesting, nothing after the value.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// How deep arrays and objects may nest, the outermost counted.
const MAX_DEPTH: usize = 8;

/// A text that is no JSON object, or not a strict one.
#[derive(Debug)]
pub(super) struct NotStrict;

/// Reads a JSON object.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, NotStrict> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth_left: MAX_DEPTH }.deserialize(&mut reader).map_err(|_| NotStrict)?;
    reader.end().map_err(|_| NotStrict)?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(NotStrict),
    }
}

#[derive(Clone, Copy)]
struct Strict {
    depth_left: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { depth_left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let item = self.deeper()?;
        let mut items = Vec::new();
        while let Some(value) = sequence.next_element_seed(item)? {
            items.push(value);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let member = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom("a member is there twice"));
            }
            members.insert(name, map.next_value_seed(member)?);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        format!(r#"{{"a":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1))
    }

    #[test]
    fn an_object_reads_as_its_members() {
        let text = r#" {"a":1,"b":[true,null,-2,1.5],"c":{"a":"\u00e9"}} "#;
        let read = object(text.as_bytes()).map(Value::Object).unwrap_or_default();
        assert_eq!(read, serde_json::json!({"a": 1, "b": [true, null, -2, 1.5], "c": {"a": "é"}}));
        assert!(object(nested(MAX_DEPTH).as_bytes()).is_ok());
    }

    #[test]
    fn what_readers_could_disagree_about_is_refused() {
        let deep = [nested(MAX_DEPTH + 1), nested(3000)];
        let texts = [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":[{"a":1,"a":2}]}"#,
            r#"{"b":{"c":{"a":1,"a":2}}}"#,
            r#"{"a":1}x"#,
            r#"{"a":1}{"a":1}"#,
            r#"{"a":1,}"#,
            r#"{"a":01}"#,
            r#"{"a":NaN}"#,
            r#"{"a":1e999}"#,
            r#"{"a":"\ud800"}"#,
            "{'a':1}",
            "{\"a\":\"\n\"}",
            "\u{feff}{}",
            "{} // comment",
            "[]",
            "null",
            "\"a\"",
            "",
        ];
        for text in texts.into_iter().chain(deep.iter().map(String::as_str)) {
            assert!(object(text.as_bytes()).is_err(), "{text}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err());
    }
}
