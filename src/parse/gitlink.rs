//! The files by which git finds its directories: `.git` of a linked worktree or a
//! submodule, and `commondir` (gitrepository-layout(5)).

/// The path in a `.git` file: `gitdir: PATH`.
pub fn gitdir(content: &[u8]) -> Option<&[u8]> {
    path(content.strip_prefix(b"gitdir: ")?)
}

/// The path in a `commondir` file, which is all that is in it.
pub fn commondir(content: &[u8]) -> Option<&[u8]> {
    path(content)
}

/// git drops line ends behind the path, and nothing else of it.
fn path(mut text: &[u8]) -> Option<&[u8]> {
    while let [rest @ .., b'\n' | b'\r'] = text {
        text = rest;
    }
    (!text.is_empty() && !text.contains(&0)).then_some(text)
}
