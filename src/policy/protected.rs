//! Names that are never writable, wherever they lie below a writable root, each
//! with its reason: every one of them makes another program run something later,
//! outside the sandbox.

use crate::parse::settings::GitConfig;

/// A file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// Anything else.
    File,
}

/// A row: the last components of the path, what it must be, and why.
type Row = (&'static [&'static [u8]], Option<Kind>, &'static str);

const SHELL: &str = "a shell runs it at its start";
const EDITOR: &str = "an editor takes tasks and programs to run from it";
const AGENT: &str = "an agent takes servers or commands to run from it";
const PACKAGES: &str = "a package manager takes registries and programs from it";
const GIT: &str = "git runs programs that it names";

/// The table. Rows without a kind hold for files and directories.
const ROWS: &[Row] = &[
    (&[b".gitconfig"], None, GIT),
    (&[b".gitmodules"], None, GIT),
    (&[b".bashrc"], None, SHELL),
    (&[b".bash_profile"], None, SHELL),
    (&[b".bash_login"], None, SHELL),
    (&[b".bash_logout"], None, SHELL),
    (&[b".profile"], None, SHELL),
    (&[b".zshrc"], None, SHELL),
    (&[b".zprofile"], None, SHELL),
    (&[b".zshenv"], None, SHELL),
    (&[b".zlogin"], None, SHELL),
    (&[b".zlogout"], None, SHELL),
    (
        &[b".ripgreprc"],
        None,
        "ripgrep runs the preprocessor it names",
    ),
    (&[b".mcp.json"], None, AGENT),
    (&[b".mcp-settings.json"], None, AGENT),
    (&[b".npmrc"], None, PACKAGES),
    (&[b".yarnrc"], None, PACKAGES),
    (&[b".yarnrc.yml"], None, PACKAGES),
    (&[b".vscode"], None, EDITOR),
    (&[b".idea"], None, EDITOR),
    (&[b".claude", b"commands"], None, AGENT),
    (&[b".claude", b"agents"], None, AGENT),
    (&[b".git", b"hooks"], None, "git runs what lies in it"),
    (&[b".git", b"config"], None, GIT),
    (&[b".git", b"config.worktree"], None, GIT),
    (
        &[b".git"],
        Some(Kind::File),
        "it says where git finds its configuration",
    ),
];

/// Why `path` (components below a writable root, outermost first) is never
/// writable; `None` if it may be.
pub fn reason(path: &[&[u8]], kind: Kind, git_config: GitConfig) -> Option<&'static str> {
    ROWS.iter()
        .filter(|(_, wanted, _)| wanted.is_none_or(|k| k == kind))
        .find(|(tail, _, _)| path.ends_with(tail))
        .filter(|(tail, _, _)| {
            git_config == GitConfig::Protected || *tail != [&b".git"[..], b"config"]
        })
        .map(|(_, _, why)| *why)
}

/// Whether names inside this directory, given by its last component, are in the
/// table: the search looks into it even at its last level.
pub fn holds_protected(name: &[u8]) -> bool {
    name == b".git" || name == b".claude"
}
