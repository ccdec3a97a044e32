//! `--check`: what is doubtful in a settings file, or what a new one allows more than
//! the old.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::paths::shown;
use super::probe::{self, Loaded};
use crate::args::Check;
use crate::error::{Error, While};
use crate::policy::compare::more;
use crate::policy::lint::{Around, lint};

/// What there is to say.
struct Said {
    /// Of what was accepted and does nothing here.
    notes: Vec<String>,
    findings: Vec<String>,
    /// Said where there are no findings.
    nothing: String,
}

/// What there is to say, and the exit status: 1 if there are findings, else 0.
///
/// # Errors
/// A file cannot be read or is not valid, or the host cannot be read.
pub fn examine(check: &Check) -> Result<(String, u8), Error> {
    let loaded = probe::settings(Some(&check.file))?;
    let said = match &check.new {
        Some(new) => compared(&loaded, new)?,
        None => linted(&loaded, &check.file)?,
    };
    let status = u8::from(!said.findings.is_empty());
    let mut lines = said.notes;
    lines.extend(said.findings);
    if status == 0 {
        lines.push(said.nothing);
    }
    Ok((lines.join("\n") + "\n", status))
}

fn compared(old: &Loaded, new: &OsStr) -> Result<Said, Error> {
    let new = probe::settings(Some(new))?;
    let home = probe::home().map(|home| home.into_os_string().into_vec());
    Ok(Said {
        notes: Vec::new(),
        findings: more(&old.settings, &new.settings, home.as_deref()),
        nothing: "NEW allows nothing that OLD does not".into(),
    })
}

fn linted(loaded: &Loaded, file: &OsStr) -> Result<Said, Error> {
    let around = around(Path::new(file))?;
    let file = shown(file.as_bytes());
    let of_file = |text: &String| format!("{file}: {text}");
    Ok(Said {
        notes: loaded.settings.notes.iter().map(of_file).collect(),
        findings: lint(&loaded.settings, &around)
            .iter()
            .map(of_file)
            .collect(),
        nothing: format!("{file}: fine"),
    })
}

fn around(file: &Path) -> Result<Around, Error> {
    let directory = env::current_dir().doing("finding the working directory")?;
    let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
    let mut search = Vec::new();
    // An empty part is the working directory; an empty whole is none.
    let path = env::var_os("PATH").filter(|path| !path.is_empty());
    for place in path.iter().flat_map(env::split_paths) {
        let place = directory.join(place);
        // Under the name that a rule would have it by as well.
        let real = fs::canonicalize(&place).ok();
        for path in [Some(place), real].into_iter().flatten() {
            let path = bytes(&path);
            if !search.contains(&path) {
                search.push(path);
            }
        }
    }
    let file = std::path::absolute(file).doing("finding the settings file")?;
    Ok(Around {
        home: probe::home().as_deref().map(bytes),
        directory: bytes(&directory),
        search,
        program: env::current_exe().ok().as_deref().map(bytes),
        file: bytes(&file),
    })
}
