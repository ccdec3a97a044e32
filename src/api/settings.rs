//! Settings, as a library has them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::parse;
use crate::run::probe::{self, Loaded};

/// What a command may do: a settings file's content, valid. Cheap to clone.
///
/// The default allows nothing to be written and nothing to be reached.
///
/// # Examples
///
/// ```
/// use sandbox_runtime::Settings;
///
/// let settings = Settings::from_json(br#"{"network": {"allowedDomains": ["example.com"]}}"#);
/// assert!(settings.is_ok());
/// let wrong = Settings::from_json(br#"{"netwrok": {}}"#).unwrap_err();
/// assert!(wrong.to_string().contains("netwrok"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Settings(pub(super) Arc<Loaded>);

impl Settings {
    /// Reads settings as in a settings file (JSON).
    ///
    /// # Errors
    /// [`Error::Settings`] with every problem: line, column, key path, and what would be
    /// right.
    pub fn from_json(text: &[u8]) -> Result<Self, Error> {
        let settings = parse::settings::settings(text).map_err(|problems| Error::Settings {
            file: "settings".into(),
            problems: problems.iter().map(ToString::to_string).collect(),
        })?;
        Ok(Self(Arc::new(Loaded {
            settings,
            text: text.to_vec(),
            ..Loaded::default()
        })))
    }

    /// Reads a settings file. Commands may not write it, whatever else they may.
    ///
    /// # Errors
    /// It cannot be read, or as for [`Settings::from_json`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let named: &OsStr = path.as_ref().as_os_str();
        Ok(Self(Arc::new(probe::settings(Some(named))?)))
    }

    /// Where they were read from, if they were.
    pub fn file(&self) -> Option<&PathBuf> {
        self.0.file.as_ref()
    }
}
