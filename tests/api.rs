//! The library's face, in one page: tests/golden/api.txt. With SRT_BLESS=1, it is written anew.

use std::fs;
use std::path::Path;

/// What a source file shows: every public item, one a line, with what is behind it.
fn shown(name: &str, text: &str) -> String {
    let mut out = String::new();
    let mut block = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        let word = line.trim();
        if indent == 0 && (word.starts_with("impl") || word.starts_with("pub enum")) {
            block = word.trim_end_matches(" {").trim_end_matches('{').to_owned();
        }
        if indent == 0 && word == "}" {
            block.clear();
        }
        let public = word.starts_with("pub ") && !word.starts_with("pub use");
        // Of an enum, every variant; of a trait's implementation, that there is one.
        let variant = block.starts_with("pub enum")
            && indent == 4
            && word.starts_with(|c: char| c.is_ascii_uppercase());
        let implements = indent == 0 && word.starts_with("impl") && word.contains(" for ");
        if !(public || variant || implements) {
            continue;
        }
        let mut item = word.to_owned();
        while item.contains('(') && !item.ends_with(['{', ';', ',', '}']) || item.ends_with('(') {
            let Some(more) = lines.next() else { break };
            item = format!("{item} {}", more.trim());
            if item.ends_with('{') {
                break;
            }
        }
        let item = item
            .trim_end_matches([' ', '{', ';', ','])
            .replace("( ", "(")
            .replace(", )", ")");
        let inside = if indent == 0 { "" } else { "    " };
        if indent != 0 && block.starts_with("impl") && !out.ends_with(&format!("{block}\n")) {
            let last = out.lines().rev().find(|line| !line.starts_with(' '));
            if last != Some(block.as_str()) {
                out += &format!("{block}\n");
            }
        }
        out += &format!("{inside}{item}\n");
    }
    if out.is_empty() {
        out
    } else {
        format!("# {name}\n{out}\n")
    }
}

#[test]
fn the_public_interface_is_as_it_is_written_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    // What is public besides is hidden, and promises nothing.
    let lines: Vec<&str> = library.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        if line.starts_with("pub mod") || line.starts_with("pub use error::While") {
            assert_eq!(lines[at - 1], "#[doc(hidden)]", "{line}");
        }
    }
    let named = library
        .split("pub use api::{")
        .nth(1)
        .unwrap()
        .split('}')
        .next()
        .unwrap();
    let mut names: Vec<&str> = named
        .split(',')
        .map(str::trim)
        .filter(|n| !n.is_empty())
        .collect();
    names.push("Error");
    let mut page = format!("sandbox_runtime::{{{}}}\n\n", names.join(", "));
    let mut files: Vec<_> = fs::read_dir(root.join("src/api"))
        .unwrap()
        .flatten()
        .collect();
    files.sort_by_key(fs::DirEntry::file_name);
    for file in files.iter().map(fs::DirEntry::path) {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        page += &shown(&name, &fs::read_to_string(&file).unwrap());
    }
    // What is behind the error is ours alone.
    let error = fs::read_to_string(root.join("src/error.rs")).unwrap();
    page += &shown(
        "error",
        error.split("/// Says what was being done").next().unwrap(),
    );
    let golden = root.join("tests/golden/api.txt");
    if std::env::var_os("SRT_BLESS").is_some() {
        fs::write(&golden, &page).unwrap();
    }
    let written = fs::read_to_string(&golden).unwrap();
    assert!(
        written == page,
        "the interface has changed: SRT_BLESS=1 writes it down anew\n{page}"
    );
}
