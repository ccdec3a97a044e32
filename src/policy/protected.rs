//! Names that are never writable, wherever they lie below a writable root, each
//! with its reason: every one of them makes another program run something later,
//! outside the sandbox.

use super::files::{Kind, Placeholder};
use crate::parse::settings::GitConfig;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name of the directory it lies in, where that matters.
    pub inside: Option<&'static [u8]>,
    /// The name.
    pub name: &'static [u8],
    /// What holds its place when it is absent.
    pub placeholder: Placeholder,
    /// What does so in the home directory, where programs outside read these names too,
    /// and must not stumble.
    at_home: Placeholder,
    /// Why.
    pub reason: &'static str,
}

const SHELL: &str = "a shell runs it at its start";
const EDITOR: &str = "an editor takes tasks and programs to run from it";
const AGENT: &str = "an agent takes servers or commands to run from it";
const PACKAGES: &str = "a package manager takes registries and programs from it";
const GIT: &str = "git runs programs that it names";
const HOOKS: &str = "git runs what lies in it";
const WHERE: &str = "it says where git finds its configuration";

const fn row(
    inside: Option<&'static [u8]>,
    name: &'static [u8],
    [placeholder, at_home]: [Placeholder; 2],
    reason: &'static str,
) -> Row {
    Row {
        inside,
        name,
        placeholder,
        at_home,
        reason,
    }
}

const fn name(name: &'static [u8], reason: &'static str) -> Row {
    row(
        None,
        name,
        [Placeholder::Socket, Placeholder::Empty],
        reason,
    )
}

const fn directory(
    inside: Option<&'static [u8]>,
    name: &'static [u8],
    reason: &'static str,
) -> Row {
    let placeholders = [Placeholder::Socket, Placeholder::Directory];
    row(inside, name, placeholders, reason)
}

const fn git(name: &'static [u8], placeholder: Placeholder, reason: &'static str) -> Row {
    row(None, name, [placeholder, placeholder], reason)
}

/// Names in any directory.
const NAMES: &[Row] = &[
    name(b".gitconfig", GIT),
    name(b".gitmodules", GIT),
    name(b".bashrc", SHELL),
    name(b".bash_profile", SHELL),
    name(b".bash_login", SHELL),
    name(b".bash_logout", SHELL),
    name(b".profile", SHELL),
    name(b".zshrc", SHELL),
    name(b".zprofile", SHELL),
    name(b".zshenv", SHELL),
    name(b".zlogin", SHELL),
    name(b".zlogout", SHELL),
    name(b".envrc", "direnv runs it"),
    name(b".ripgreprc", "ripgrep runs the preprocessor it names"),
    name(b".mcp.json", AGENT),
    name(b".mcp-settings.json", AGENT),
    name(b".npmrc", PACKAGES),
    name(b".yarnrc", PACKAGES),
    name(b".yarnrc.yml", PACKAGES),
    directory(None, b".vscode", EDITOR),
    directory(None, b".idea", EDITOR),
    directory(Some(CLAUDE), b"commands", AGENT),
    directory(Some(CLAUDE), b"agents", AGENT),
];

/// Names in a git directory, whatever that is called (gitrepository-layout(5)).
const GIT_NAMES: &[Row] = &[
    git(b"hooks", Placeholder::Directory, HOOKS),
    git(CONFIG, Placeholder::Empty, GIT),
    git(b"config.worktree", Placeholder::Empty, GIT),
    git(b"commondir", Placeholder::CommonDir, WHERE),
];

const CLAUDE: &[u8] = b".claude";
const CONFIG: &[u8] = b"config";
const DOT_GIT: &[u8] = b".git";

/// The last component of a path.
pub fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

/// Why `name` in a directory that is called `above` is never writable; `None` if it
/// may be.
pub fn reason(above: &[u8], name: &[u8], kind: Kind) -> Option<&'static str> {
    if name == DOT_GIT {
        return (kind != Kind::Directory).then_some(WHERE);
    }
    // Most names end here.
    if name.first() != Some(&b'.') && above != CLAUDE {
        return None;
    }
    let is = |row: &&Row| row.name == name && row.inside.is_none_or(|dir| dir == above);
    NAMES.iter().find(is).map(|row| row.reason)
}

/// The rows for the contents of a git directory.
pub fn git_rows(config: GitConfig) -> impl Iterator<Item = &'static Row> {
    GIT_NAMES
        .iter()
        .filter(move |row| config == GitConfig::Protected || row.name != CONFIG)
}

/// The rows for names in any directory.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    NAMES.iter()
}

/// Which absent names are to be held in a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Names {
    /// Those that belong into a directory of its name.
    #[default]
    Own,
    /// These, and those that count in any directory.
    All,
    /// The same, in the home directory.
    AtHome,
}

/// The rows for names that must not be created in a directory that is called `above`,
/// of which `has` says what it holds. A directory that would hold such names stands for
/// them while it is absent itself.
pub fn absent(above: &[u8], names: Names, has: impl Fn(&[u8]) -> bool) -> Vec<Row> {
    let here = |row: &Row| match row.inside {
        Some(dir) if dir == above => Some(*row),
        _ if names == Names::Own => None,
        None => Some(*row),
        Some(dir) => Some(Row {
            inside: None,
            name: dir,
            ..*row
        }),
    };
    let rows = NAMES.iter().filter_map(here);
    let held = |row: Row| Row {
        placeholder: match names {
            Names::Own | Names::All => row.placeholder,
            Names::AtHome => row.at_home,
        },
        ..row
    };
    rows.filter(|row| !has(row.name)).map(held).collect()
}

/// Whether a directory of this name is looked into even below the search depth, for
/// the names inside it are in the table.
pub fn holds_protected(name: &[u8]) -> bool {
    name.ends_with(DOT_GIT) || name == CLAUDE
}

/// Whether a directory of this name, of which `has` says what it holds, is a git
/// directory: by its name, or as git itself tells (a repository, or a linked
/// worktree's part of one).
pub fn is_git(name: &[u8], has: impl Fn(&[u8]) -> bool) -> bool {
    let repository = || has(b"objects") && has(b"refs");
    name == DOT_GIT || has(b"HEAD") && (repository() || has(b"commondir"))
}
