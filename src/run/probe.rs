//! Finds what a run starts from: the settings file, the home directory, bubblewrap.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
#[cfg(target_os = "linux")]
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use super::request::Request;
use crate::emit::cures::Situation;
use crate::error::Error;
use crate::limits::SETTINGS_BYTES;
use crate::parse::settings::{self, Settings};
#[cfg(target_os = "linux")]
use crate::policy::{Bubblewrap, Host, Stream, User};
use crate::sys;
#[cfg(target_os = "linux")]
use crate::sys::given::{Leads, Opened};

/// The default settings file, in the home directory.
const DEFAULT_SETTINGS: &str = ".srt-settings.json";

/// Settings and where they came from.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The file, unless there was none.
    pub file: Option<PathBuf>,
    /// The file that was looked for, there or not: whoever writes it decides the next
    /// run.
    pub looked_for: Option<PathBuf>,
    /// What the file says, as written.
    pub text: Vec<u8>,
}

impl Loaded {
    /// What is wrong with them.
    pub fn problems(&self, problems: Vec<String>) -> Error {
        match &self.file {
            Some(file) => Error::Settings {
                file: file.display().to_string(),
                problems,
            },
            None => Error::Policy(problems),
        }
    }
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
            return Ok(Loaded {
                looked_for: Some(path),
                ..Loaded::default()
            });
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
        looked_for: Some(path.clone()),
        file: Some(path),
        text: bytes,
    })
}

/// What the kernel, the caller and bubblewrap are.
///
/// # Errors
/// A standard stream cannot be looked at.
#[cfg(target_os = "linux")]
pub fn host(bwrap: Option<&Path>, run: &Request) -> io::Result<Host> {
    let closed = run.closed();
    let mut streams = Vec::new();
    for number in (0..3).filter(|number| !closed.contains(number)) {
        let Some(stream) = run.stream(number.unsigned_abs() as usize) else {
            continue;
        };
        let stream = stream.as_raw_fd();
        match sys::given::look_at(stream)? {
            (Leads::OpenSocket, _) => streams.push((number, Stream::OpenSocket)),
            (Leads::Directory, _) => streams.push((number, Stream::Directory)),
            (Leads::File, Opened::ReadOnly) if sys::given::may_write_again(stream)? => {
                let path = fs::read_link(format!("/proc/self/fd/{stream}"))?;
                streams.push((number, Stream::Rewritable(path.into_os_string().into_vec())));
            }
            _ => {}
        }
    }
    Ok(Host {
        landlock: sys::landlock::abi(),
        user: match sys::host::uid() {
            0 => User::Superuser,
            _ => User::Ordinary,
        },
        bubblewrap: match bwrap.is_some_and(is_setuid) {
            true => Bubblewrap::Setuid,
            false => Bubblewrap::Plain,
        },
        streams,
    })
}

fn is_setuid(program: &Path) -> bool {
    fs::metadata(program).is_ok_and(|m| m.permissions().mode() & 0o4000 != 0)
}

/// What a failure of bubblewrap may come from.
pub fn situation(bwrap: &Path) -> Situation {
    let says = |path: &str, what: &str| {
        fs::read_to_string(path).is_ok_and(|text| text.to_lowercase().contains(what))
    };
    Situation {
        superuser: sys::host::uid() == 0,
        setuid: is_setuid(bwrap),
        wsl: says("/proc/version", "microsoft"),
        apparmor: says(
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
        ),
    }
}

/// The home directory; an empty HOME is none.
pub fn home() -> Option<PathBuf> {
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
