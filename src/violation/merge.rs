//! Settings with entries added to their lists: a document, and what a suggestion adds.

use std::collections::BTreeMap;

use super::log::quoted;
use crate::parse::json::{Node, Value};

/// Entries, as JSON, by the key of the list that they belong to.
pub type Added = BTreeMap<&'static str, Vec<String>>;

/// `document`, or without one an empty one, with `added`; in one line.
pub fn merge(document: Option<&Node>, added: &Added) -> String {
    let mut left: Vec<(&str, &[String])> = added.iter().map(|(k, v)| (*k, v.as_slice())).collect();
    let empty = Vec::new();
    let members = match document.map(|node| &node.value) {
        Some(Value::Object(members)) => members,
        _ => &empty,
    };
    object(members, "", &mut left)
}

/// An object of the document; `prefix` is its path with a dot, or empty.
fn object(
    members: &[(crate::parse::json::Key, Node)],
    prefix: &str,
    left: &mut Vec<(&str, &[String])>,
) -> String {
    let mut out = Vec::new();
    for (key, node) in members {
        let path = format!("{prefix}{}", key.text);
        let value = match &node.value {
            Value::Object(members) => object(members, &format!("{path}."), left),
            Value::List(items) => {
                let more = take(left, &path);
                let items = items.iter().map(plain);
                let all: Vec<String> = items.chain(more.iter().cloned()).collect();
                format!("[{}]", all.join(","))
            }
            _ => plain(node),
        };
        out.push(format!("{}:{value}", quoted(&key.text)));
    }
    // Lists, and sections, that were not there.
    while let Some((path, _)) = left
        .iter()
        .find(|(path, _)| path.starts_with(prefix))
        .copied()
    {
        let rest = path.strip_prefix(prefix).unwrap_or(path);
        let value = match rest.split_once('.') {
            Some((section, _)) => {
                let below = format!("{prefix}{section}.");
                (section, object(&[], &below, left))
            }
            None => (rest, format!("[{}]", take(left, path).join(","))),
        };
        out.push(format!("{}:{}", quoted(value.0), value.1));
    }
    format!("{{{}}}", out.join(","))
}

fn take<'a>(left: &mut Vec<(&str, &'a [String])>, path: &str) -> &'a [String] {
    match left.iter().position(|(key, _)| *key == path) {
        Some(at) => left.swap_remove(at).1,
        None => &[],
    }
}

fn plain(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Number(text) => text.clone(),
        Value::Text(text) => quoted(text),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(members) => {
            let pair = |(key, node): &(crate::parse::json::Key, Node)| {
                format!("{}:{}", quoted(&key.text), plain(node))
            };
            let members: Vec<String> = members.iter().map(pair).collect();
            format!("{{{}}}", members.join(","))
        }
    }
}
