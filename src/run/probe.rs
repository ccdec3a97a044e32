//! Reads the host once: the settings file, what the path rules name, which protected
//! names exist, which addresses are ours, where bubblewrap is.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, While};
use crate::limits::{SETTINGS_BYTES, WALK_ENTRIES};
use crate::parse::settings::{self, GitConfig, PathRule, Settings};
use crate::policy::files::{Kind, Rule};
use crate::policy::protected::{holds_protected, reason};
use crate::policy::{Facts, Place, Resolved};
use crate::sys;

/// The default settings file, in the home directory.
const DEFAULT_SETTINGS: &str = ".srt-settings.json";

/// Settings and where they came from.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The file, unless there was none.
    pub file: Option<PathBuf>,
}

/// Reads the settings file that is named, or the default one if it is there.
///
/// # Errors
/// The file cannot be read or is not valid. That a default file is absent is no
/// error, and only the open itself can say so.
pub fn settings(named: Option<&OsStr>) -> Result<Loaded, Error> {
    let path = match named {
        Some(path) => PathBuf::from(path),
        None => match home() {
            Some(home) => home.join(DEFAULT_SETTINGS),
            None => return Ok(Loaded::default()),
        },
    };
    let problem = |text: String| Error::Settings {
        file: path.display().to_string(),
        problems: vec![text],
    };
    let file = match File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && named.is_none() => {
            return Ok(Loaded::default());
        }
        other => other.map_err(|e| problem(format!("cannot be read: {e}")))?,
    };
    let mut bytes = Vec::new();
    let most = SETTINGS_BYTES as u64 + 1;
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(|e| problem(format!("cannot be read: {e}")))?;
    let settings = settings::settings(&bytes).map_err(|problems| Error::Settings {
        file: path.display().to_string(),
        problems: problems.iter().map(ToString::to_string).collect(),
    })?;
    Ok(Loaded {
        settings,
        file: Some(path),
    })
}

/// The home directory; an empty HOME is none.
fn home() -> Option<PathBuf> {
    env::var_os("HOME")
        .filter(|h| Path::new(h).is_absolute())
        .map(PathBuf::from)
}

/// Finds bubblewrap: where the settings say, or on the absolute entries of PATH.
///
/// # Errors
/// There is none, with the way to get it.
pub fn bwrap(named: Option<&str>) -> Result<PathBuf, Error> {
    let runs = |path: &Path| {
        fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    let cure = "install it (Debian, Ubuntu: apt-get install bubblewrap; Fedora: dnf install bubblewrap; \
                Arch: pacman -S bubblewrap; Alpine: apk add bubblewrap; openSUSE: zypper install bubblewrap), \
                or set bwrapPath";
    if let Some(path) = named {
        let path = PathBuf::from(path);
        return if runs(&path) {
            Ok(path)
        } else {
            Err(Error::Bwrap {
                words: format!("bwrapPath: {path:?} is not an executable file"),
                cure,
            })
        };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join("bwrap"))
        .find(|candidate| runs(candidate))
        .ok_or(Error::Bwrap {
            words: "there is no bwrap on PATH".into(),
            cure,
        })
}

/// Everything about the host that the policy rests on.
///
/// # Errors
/// The host cannot be read, or a rule's path cannot be looked at: what cannot be
/// seen is not taken for absent.
pub fn facts(loaded: &Loaded, directory: &Path, temporary: &Path) -> Result<Facts, Error> {
    let files = &loaded.settings.filesystem;
    let lists = [
        (&files.deny_read, Rule::DenyRead),
        (&files.allow_read, Rule::AllowRead),
        (&files.allow_write, Rule::AllowWrite),
        (&files.deny_write, Rule::DenyWrite),
    ];
    let mut rules = Vec::new();
    for (list, rule) in lists {
        for entry in list {
            rules.push(Resolved {
                key: entry.key.clone(),
                rule,
                place: resolve(entry, directory)?,
            });
        }
    }
    let roots = roots(&rules, directory);
    let mut walk = Walk {
        found: BTreeSet::new(),
        entries: 0,
        git_config: files.git_config,
    };
    for root in roots {
        walk.down(
            &root,
            &mut Vec::new(),
            usize::from(loaded.settings.search_depth.get()),
        )?;
    }
    let mut protected: Vec<_> = walk.found.into_iter().map(|p| with_kind(&p)).collect();
    // Whoever can write these decides the next run.
    let own = [loaded.file.clone(), env::current_exe().ok()];
    for path in own.into_iter().flatten() {
        if let Ok(real) = fs::canonicalize(path) {
            protected.push((real.into_os_string().into_vec(), Kind::File));
        }
    }
    Ok(Facts {
        rules,
        protected,
        temporary: temporary.as_os_str().as_bytes().to_vec(),
        own_addresses: sys::host::own_addresses().doing("reading this host's addresses")?,
    })
}

/// Where to look for protected names: every writable root, and the working directory
/// if it lies in one.
fn roots(rules: &[Resolved], directory: &Path) -> BTreeSet<PathBuf> {
    let writable = rules.iter().filter(|r| r.rule == Rule::AllowWrite);
    let mut roots: BTreeSet<PathBuf> = writable
        .filter_map(|r| match &r.place {
            Place::Exists(path, Kind::Directory) => Some(PathBuf::from(OsStr::from_bytes(path))),
            Place::Exists(_, Kind::File) | Place::Absent { .. } => None,
        })
        .collect();
    if roots.iter().any(|root| directory.starts_with(root)) {
        roots.insert(directory.to_owned());
    }
    roots
}

fn with_kind(path: &Path) -> (Vec<u8>, Kind) {
    let directory = fs::symlink_metadata(path).is_ok_and(|m| m.is_dir());
    let kind = if directory {
        Kind::Directory
    } else {
        Kind::File
    };
    (path.as_os_str().as_bytes().to_vec(), kind)
}

/// What the path of a rule names now.
fn resolve(rule: &PathRule, directory: &Path) -> Result<Place, Error> {
    let problem = |text: String| Error::Policy(vec![format!("{}: {text}", rule.key)]);
    let written = Path::new(&rule.path);
    let wanted = match rule.path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home =
                home().ok_or_else(|| problem("~ cannot be resolved: HOME is not set".into()))?;
            home.join(rest.trim_start_matches('/'))
        }
        _ => directory.join(written),
    };
    match fs::canonicalize(&wanted) {
        Ok(real) => {
            let kind = if real.is_dir() {
                Kind::Directory
            } else {
                Kind::File
            };
            Ok(Place::Exists(real.into_os_string().into_vec(), kind))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            absent(&wanted).map_err(|e| problem(format!("{}: {e}", wanted.display())))
        }
        Err(e) => Err(problem(format!("{}: {e}", wanted.display()))),
    }
}

/// The deepest existing directory above an absent path, link by link: a dangling
/// symlink counts with its target, since that is where the kernel would create.
fn absent(wanted: &Path) -> io::Result<Place> {
    let mut above = wanted.to_owned();
    let mut links = 0;
    let whole = wanted.as_os_str().as_bytes().to_vec();
    loop {
        if let Ok(target) = fs::read_link(&above) {
            links += 1;
            if links > 40 {
                return Err(io::Error::other("too many levels of symbolic links"));
            }
            let base = above.parent().unwrap_or(Path::new("/")).to_owned();
            above = base.join(target);
        } else if above.components().next_back() == Some(Component::ParentDir) {
            return Err(io::Error::other("'..' in a path that does not exist"));
        } else if !above.pop() {
            return Err(io::ErrorKind::NotFound.into());
        }
        match fs::canonicalize(&above) {
            Ok(real) => {
                return Ok(Place::Absent {
                    above: real.into_os_string().into_vec(),
                    wanted: whole,
                });
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
}

/// The search for always-denied names. It follows no symlink and obeys no file.
struct Walk {
    found: BTreeSet<PathBuf>,
    entries: usize,
    git_config: GitConfig,
}

impl Walk {
    fn down(&mut self, at: &Path, names: &mut Vec<Vec<u8>>, depth: usize) -> Result<(), Error> {
        let listing = match fs::read_dir(at) {
            Ok(listing) => listing,
            // Nothing can be made or changed in a directory that this user cannot
            // read or that is gone.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound
                ) =>
            {
                return Ok(());
            }
            Err(source) => {
                return Err(Error::Io {
                    doing: "searching for protected names",
                    source,
                });
            }
        };
        for entry in listing {
            let Ok(entry) = entry else { continue };
            self.entries += 1;
            if self.entries > WALK_ENTRIES {
                return Err(Error::Policy(vec![format!(
                    "the search for protected names met {WALK_ENTRIES} entries at {}: \
                     allow writing in fewer places, or lower mandatoryDenySearchDepth",
                    at.display()
                )]));
            }
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let name = entry.file_name().into_vec();
            let path = entry.path();
            let is = if kind.is_dir() {
                Kind::Directory
            } else {
                Kind::File
            };
            names.push(name);
            let parts: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            let denied = reason(&parts, is, self.git_config).is_some();
            let last = parts.last().copied().unwrap_or_default();
            let deeper = depth > 1 || (depth == 1 && holds_protected(last));
            if denied {
                self.protect(&path);
            } else if kind.is_dir() && deeper {
                self.down(&path, names, depth.saturating_sub(1))?;
            }
            names.pop();
        }
        Ok(())
    }

    /// A symlink cannot be a mount point: what it leads to is protected.
    fn protect(&mut self, path: &Path) {
        if let Ok(real) = fs::canonicalize(path) {
            self.found.insert(real);
        }
    }
}
