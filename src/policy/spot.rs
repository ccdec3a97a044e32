//! Where the path rules of the settings lie to one another, as far as their words tell:
//! nobody looks at the file system, so a symbolic link is taken for what it is called.
//!
//! What is not known is not guessed: [`Spot::covers`] says yes only where that is sure,
//! [`Spot::may_cover`] and [`Spot::may_meet`] say no only where that is sure. A path
//! with `..` is not known, nor is how a relative path lies to an absolute one, for that
//! differs from one working directory to the next.

use super::files::{FRESH, covers, lineage};
use crate::parse::glob::{Glob, PathPattern};
use crate::parse::settings::PathRule;

/// A path rule, its path made plain: no `~`, no `.`, no empty component.
#[derive(Clone, Debug)]
pub struct Spot<'a> {
    /// Where the settings have it.
    pub key: &'a str,
    /// How they write it.
    pub written: &'a str,
    /// Counted from the working directory.
    relative: bool,
    lies: Lies<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Lies<'a> {
    /// This path; a relative one as if `/` were the working directory.
    At(Vec<u8>),
    /// What matches below this one.
    Below(Vec<u8>, &'a Glob),
    /// Somewhere: as this says, or not even that is known.
    Unknown(Option<&'a PathPattern>),
}

/// For what a rule counts of which it is not known whether it says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A denial is one, an allowance is none.
    Hides,
    /// An allowance is one, a denial is none.
    Shows,
}

/// A path without its empty and `.` components; `None` if it has `..`.
fn plain(path: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            name => out.extend([b"/", name].concat()),
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    Some(out)
}

fn related(one: &[u8], other: &[u8]) -> bool {
    covers(one, other) || covers(other, one)
}

/// Whether the glob below `base` matches `path` itself.
fn matches(base: &[u8], glob: &Glob, path: &[u8]) -> bool {
    let base = base.strip_suffix(b"/").unwrap_or(base);
    path.strip_prefix(base)
        .and_then(|rest| rest.strip_prefix(b"/"))
        .is_some_and(|rest| !rest.is_empty() && glob.matches(rest.split(|&b| b == b'/')))
}

impl<'a> Spot<'a> {
    /// The spots of a list.
    pub fn all(list: &'a [PathRule], home: Option<&[u8]>) -> Vec<Self> {
        list.iter().map(|rule| Self::new(rule, home)).collect()
    }

    /// The spot of one rule.
    pub fn new(rule: &'a PathRule, home: Option<&[u8]>) -> Self {
        let (written, begins) = match &rule.path {
            PathPattern::Literal(text) => (text.as_str(), text.as_str()),
            PathPattern::Glob(glob) => (glob.written.as_str(), glob.base.as_str()),
        };
        let whole = match begins.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                home.map(|home| [home, rest.as_bytes()].concat())
            }
            _ => Some(begins.as_bytes().to_vec()),
        };
        let relative = whole.as_ref().is_some_and(|path| !path.starts_with(b"/"));
        let lies = match (whole.and_then(|path| plain(&path)), &rule.path) {
            (Some(path), PathPattern::Literal(_)) => Lies::At(path),
            (Some(base), PathPattern::Glob(glob)) => Lies::Below(base, glob),
            (None, unknown) => Lies::Unknown(Some(unknown)),
        };
        Self {
            key: &rule.key,
            written,
            relative,
            lies,
        }
    }

    /// A path of the host.
    pub fn host(path: &[u8]) -> Spot<'static> {
        Spot {
            key: "",
            written: "",
            relative: false,
            lies: plain(path).map_or(Lies::Unknown(None), Lies::At),
        }
    }

    /// The same, seen from a working directory.
    #[must_use]
    pub fn from_directory(&self, directory: &[u8]) -> Self {
        let mut spot = self.clone();
        if let (true, Lies::At(path) | Lies::Below(path, _)) = (self.relative, &mut spot.lies) {
            spot.relative = false;
            match plain(&[directory, path.as_slice()].concat()) {
                Some(whole) => *path = whole,
                None => spot.lies = Lies::Unknown(None),
            }
        }
        spot
    }

    /// The absolute path, if it is one and known.
    pub fn path(&self) -> Option<&[u8]> {
        match &self.lies {
            Lies::At(path) if !self.relative => Some(path),
            Lies::At(_) | Lies::Below(..) | Lies::Unknown(_) => None,
        }
    }

    /// Whether both name the same.
    pub fn is(&self, other: &Self) -> bool {
        let known = self.lies != Lies::Unknown(None);
        known && self.relative == other.relative && self.lies == other.lies
    }

    /// Whether `other`, and all below it, lies here for sure.
    pub fn covers(&self, other: &Self) -> bool {
        let same = self.relative == other.relative;
        match (&self.lies, &other.lies) {
            (Lies::At(root), _) if root == b"/" && !self.relative => true,
            (Lies::At(above), Lies::At(path) | Lies::Below(path, _)) if same => covers(above, path),
            _ => self.is(other),
        }
    }

    /// [`Self::covers`] for a denial of reading: that of `/` leaves out the trees that are
    /// made anew.
    pub fn hides_all_of(&self, other: &Self) -> bool {
        let fresh = |path: &[u8]| FRESH.iter().any(|tree| related(tree, path));
        let anew = match &other.lies {
            Lies::At(path) | Lies::Below(path, _) => fresh(path),
            Lies::Unknown(_) => true,
        };
        let root = self.path() == Some(b"/");
        self.is(other) || self.covers(other) && !(root && (anew || other.relative))
    }

    /// Whether this is a pattern.
    pub fn is_glob(&self) -> bool {
        matches!(self.lies, Lies::Below(..))
    }

    /// Whether something that `other` names may lie here, or below.
    pub fn may_cover(&self, other: &Self) -> bool {
        if self.is_apart(other) {
            return true;
        }
        match (&self.lies, &other.lies) {
            (Lies::At(above), Lies::At(path)) => covers(above, path),
            (Lies::Below(base, glob), Lies::At(path)) => {
                lineage(path).any(|at| matches(base, glob, at))
            }
            (Lies::At(one) | Lies::Below(one, _), Lies::Below(other, _)) => related(one, other),
            (Lies::Unknown(_), _) | (_, Lies::Unknown(_)) => true,
        }
    }

    /// Whether the two may share something, here or below.
    pub fn may_meet(&self, other: &Self) -> bool {
        match (&self.lies, &other.lies) {
            _ if self.is_apart(other) => true,
            (Lies::At(one) | Lies::Below(one, _), Lies::At(other) | Lies::Below(other, _)) => {
                related(one, other)
            }
            (Lies::Unknown(_), _) | (_, Lies::Unknown(_)) => true,
        }
    }

    /// Whether nobody can tell how the two lie to one another: one of them is not known,
    /// or one hangs on the working directory and the other does not.
    pub fn is_apart(&self, other: &Self) -> bool {
        let unknown = |spot: &Self| matches!(spot.lies, Lies::Unknown(_));
        unknown(self) || unknown(other) || self.relative != other.relative
    }

    /// What this rule says of the path `at`, which is `relative` or not; `None` if that
    /// is not known.
    fn names(&self, at: &[u8], relative: bool) -> Option<bool> {
        match &self.lies {
            Lies::Unknown(_) => None,
            _ if self.relative != relative => None,
            Lies::At(path) => Some(path == at),
            Lies::Below(base, glob) if matches(base, glob, at) => None,
            Lies::Below(..) => Some(false),
        }
    }

    /// Whether the policy of these rules hides all that this one names; what is not known
    /// counts as `doubt` has it.
    pub fn is_hidden(&self, deny: &[Self], allow: &[Self], doubt: Doubt) -> bool {
        match &self.lies {
            Lies::At(path) => hidden(path, self.relative, deny, allow, doubt),
            // Somewhere below its base: no rule there may say otherwise.
            Lies::Below(base, _) => {
                let other = match doubt {
                    Doubt::Hides => deny,
                    Doubt::Shows => allow,
                };
                let doubtful = other
                    .iter()
                    .any(|rule| rule.may_lie_below(base, self.relative));
                match doubt {
                    Doubt::Hides => doubtful || hidden(base, self.relative, deny, allow, doubt),
                    Doubt::Shows => {
                        let certain = !doubtful && base != b"/";
                        certain && hidden(base, self.relative, deny, allow, doubt)
                    }
                }
            }
            Lies::Unknown(_) => doubt == Doubt::Hides && !deny.is_empty(),
        }
    }

    fn may_lie_below(&self, base: &[u8], relative: bool) -> bool {
        match &self.lies {
            _ if self.relative != relative => true,
            Lies::Unknown(_) => true,
            // That of `/` stands on what is in it.
            Lies::At(path) => covers(base, path) && (path != base || base == b"/"),
            Lies::Below(other, _) => related(base, other),
        }
    }
}

fn hidden(path: &[u8], relative: bool, deny: &[Spot], allow: &[Spot], doubt: Doubt) -> bool {
    // Denying `/` hides what is in it, and not the trees that are made anew.
    let whole = path == b"/" && !relative;
    let mut hidden = false;
    for at in lineage(path) {
        let fresh = FRESH.contains(&at);
        let denied = |rule: &Spot| rule.names(at, relative).unwrap_or(doubt == Doubt::Hides);
        let allowed = |rule: &Spot| rule.names(at, relative).unwrap_or(doubt == Doubt::Shows);
        hidden = deny.iter().any(denied) || hidden && !fresh && !allow.iter().any(allowed);
    }
    hidden && !whole
}
