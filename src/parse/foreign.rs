//! Keys of other programs that are not served here: refused when they ask for something,
//! with what to write instead.

use super::json::{Node, Position, Value};
use super::schema::Shape;
use super::settings::{Reader, is_nothing};

impl Reader {
    /// A key of another program's: `why` it is not served, and what to do instead.
    pub(super) fn foreign(
        &mut self,
        at: Position,
        path: &str,
        node: &Node,
        shape: Shape,
        why: &str,
    ) {
        // Where anything may stand, an empty object may mean something there.
        if shape != Shape::Anything && shape.fits(&node.value) && is_nothing(node) {
            let note = format!("{path}: another program's; asks for nothing");
            return self.settings.notes.push(note);
        }
        let (name, list) = match path {
            "credentials.files" => ("path", "filesystem.denyRead"),
            "credentials.envVars" => ("name", "environment.deny"),
            _ => return self.problem(at, path, format!("not served here: {why}")),
        };
        let Value::List(items) = &node.value else {
            return self.problem(at, path, format!("not served here: {why}"));
        };
        for (index, item) in items.iter().enumerate() {
            let key = format!("{path}[{index}]");
            let text = match text(item, name) {
                Some(name) => format!("not served here: write {name:?} in {list} instead"),
                None => format!("not served here: {why}"),
            };
            self.problem(item.at, &key, text);
        }
    }
}

/// The string that an object has under this key.
fn text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    let Value::Object(members) = &node.value else {
        return None;
    };
    members.iter().find_map(|(name, value)| match &value.value {
        Value::Text(text) if name.text == key => Some(text.as_str()),
        _ => None,
    })
}
