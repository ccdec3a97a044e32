//! As much of JSON Schema (2020-12) as the schema in README.md says. A word that is not known
//! here is a failure, so that nothing in it goes untried.

use std::collections::BTreeSet;

use sandbox_runtime::parse::json::{Node, Value, document};

/// A schema with its `$defs`.
pub struct Schema(Node);

/// The value of a key, if `node` has it.
pub fn field<'a>(node: &'a Node, name: &str) -> Option<&'a Value> {
    member(node, name).map(|node| &node.value)
}

fn member<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    members(node).find(|(key, _)| *key == name).map(|m| m.1)
}

fn members(node: &Node) -> impl Iterator<Item = (&str, &Node)> {
    let members = match &node.value {
        Value::Object(members) => members.as_slice(),
        _ => &[],
    };
    members.iter().map(|(key, node)| (key.text.as_str(), node))
}

fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        other => panic!("no list: {other:?}"),
    }
}

fn text(node: &Node) -> &str {
    match &node.value {
        Value::Text(text) => text,
        other => panic!("no text: {other:?}"),
    }
}

fn count(node: &Node) -> usize {
    match node.value {
        Value::Integer(n) => usize::try_from(n).unwrap(),
        ref other => panic!("no number: {other:?}"),
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "object" => matches!(value, Value::Object(_)),
        "array" => matches!(value, Value::List(_)),
        "string" => matches!(value, Value::Text(_)),
        "boolean" => matches!(value, Value::Bool(_)),
        "integer" => matches!(value, Value::Integer(_)),
        "null" => matches!(value, Value::Null),
        other => panic!("no type: {other}"),
    }
}

impl Schema {
    pub fn new(whole: Node) -> Self {
        let dialect = "https://json-schema.org/draft/2020-12/schema";
        assert_eq!(text(member(&whole, "$schema").unwrap()), dialect);
        Self(whole)
    }

    fn named(&self, name: &str) -> &Node {
        let all = member(&self.0, "$defs").unwrap();
        member(all, name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Whether `line` is what `name` describes; the schema as a whole then takes it, too.
    pub fn takes(&self, name: &str, line: &str) -> bool {
        let line = document(line.as_bytes()).unwrap();
        let takes = self.fits(self.named(name), &line);
        assert!(!takes || self.fits(&self.0, &line));
        takes
    }

    /// The names that an object of `name` may have.
    pub fn names(&self, name: &str) -> BTreeSet<&str> {
        let names = member(self.named(name), "propertyNames").unwrap();
        items(member(names, "enum").unwrap())
            .iter()
            .map(text)
            .collect()
    }

    fn fits(&self, schema: &Node, node: &Node) -> bool {
        if let Value::Bool(all) = schema.value {
            return all;
        }
        assert!(matches!(schema.value, Value::Object(_)));
        // Every word is looked at: what one says is never passed over for another's sake.
        members(schema).fold(true, |fits, (word, said)| {
            self.holds(schema, word, said, node) && fits
        })
    }

    fn holds(&self, schema: &Node, word: &str, said: &Node, node: &Node) -> bool {
        match (word, &node.value) {
            ("$schema" | "$defs" | "description", _) => true,
            ("$ref", _) => {
                let name = text(said).strip_prefix("#/$defs/").unwrap();
                self.fits(self.named(name), node)
            }
            ("oneOf", _) => items(said).iter().filter(|s| self.fits(s, node)).count() == 1,
            ("type", value) => match &said.value {
                Value::List(names) => names.iter().any(|name| is_of(value, text(name))),
                _ => is_of(value, text(said)),
            },
            ("const", value) => said.value == *value,
            ("enum", value) => items(said).iter().any(|one| one.value == *value),
            ("minimum", Value::Integer(n)) => matches!(said.value, Value::Integer(m) if *n >= m),
            ("maximum", Value::Integer(n)) => matches!(said.value, Value::Integer(m) if *n <= m),
            ("maxLength", Value::Text(t)) => t.chars().count() <= count(said),
            ("minItems", Value::List(l)) => l.len() >= count(said),
            ("maxItems", Value::List(l)) => l.len() <= count(said),
            ("items", Value::List(l)) => l.iter().all(|item| self.fits(said, item)),
            ("required", Value::Object(_)) => items(said)
                .iter()
                .all(|name| member(node, text(name)).is_some()),
            ("properties", Value::Object(_)) => members(said)
                .all(|(name, said)| member(node, name).is_none_or(|node| self.fits(said, node))),
            ("additionalProperties", Value::Object(_)) => {
                assert_eq!(said.value, Value::Bool(false));
                let known = member(schema, "properties").unwrap();
                members(node).all(|(name, _)| member(known, name).is_some())
            }
            ("propertyNames", Value::Object(_)) => members(node).all(|(name, _)| {
                let value = Value::Text(name.to_owned());
                self.fits(said, &Node { at: node.at, value })
            }),
            (
                "minimum"
                | "maximum"
                | "maxLength"
                | "minItems"
                | "maxItems"
                | "items"
                | "required"
                | "properties"
                | "additionalProperties"
                | "propertyNames",
                _,
            ) => true,
            (other, _) => panic!("{other} is not tried here"),
        }
    }
}
