//! The profile by which macOS confines a command (`sandbox-exec -p`): the whole policy,
//! since there are no namespaces.
//!
//! Every fact about it is from the Seatbelt profile language, as far as it is known from
//! profiles in use; Apple documents none of it. Rules are read in order, and the last one
//! that is about an operation decides. The groups stand in the order of the submodules:
//! what every program needs, the network, files, terminals.
//!
//! Paths are compared as the kernel has them, symbolic links resolved, in the spelling that
//! is on disk; a name that is yet to be made, in the spelling that is asked for.

mod network;
mod protected;
mod reading;
pub mod regex;
mod services;
pub mod text;
mod writing;

use crate::parse::process::Resource;
use crate::policy::Policy;
use crate::policy::capture::Need;
use crate::policy::files::covers;
use regex::Case;
use text::Profile;

/// What a profile rests on besides the policy.
#[derive(Clone, Debug)]
pub struct Mac {
    /// Of this run alone, and not to be guessed: by it the run's refusals are found in the
    /// system's log.
    pub tag: String,
    /// The ports of the host's loopback that the proxy listens on; none if nothing is to be
    /// reached.
    pub proxies: Vec<u16>,
    /// Whether the file system takes capital and small letters for the same, as it does
    /// unless it was made otherwise.
    pub case: Case,
    /// The directory that holds the user's own temporary files and caches, the parent of
    /// what TMPDIR is outside (`/var/folders/XX/Y`), if it is to be writable as well.
    pub user_temporary: Option<Vec<u8>>,
    /// Directories that go by two names: a symbolic link that only the system could change,
    /// and what it leads to.
    pub aliases: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Default for Mac {
    fn default() -> Self {
        let alias = |name: &str| {
            let both = [name.to_owned(), format!("/private{name}")];
            let [name, real] = both.map(String::into_bytes);
            (name, real)
        };
        Self {
            tag: String::new(),
            proxies: Vec::new(),
            case: Case::Folded,
            user_temporary: None,
            aliases: ["/tmp", "/var", "/etc"].map(alias).into(),
        }
    }
}

impl Mac {
    /// A path in every spelling that it may be asked for in, its own first.
    fn spellings(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let mut all = vec![path.to_vec()];
        for (name, real) in &self.aliases {
            for (from, to) in [(name, real), (real, name)] {
                if let Some(rest) = path.strip_prefix(from.as_slice()) {
                    if covers(from, path) {
                        all.push([to, rest].concat());
                    }
                }
            }
            // What holds the directory holds what the link leads to.
            if path != b"/" && path != real.as_slice() && covers(path, real) && !covers(path, name)
            {
                all.push(name.clone());
            }
        }
        all
    }
}

/// The profile for `policy`.
///
/// # Errors
/// Every rule that has no place in a profile, one line each.
pub fn profile(policy: &Policy, mac: &Mac) -> Result<String, Vec<String>> {
    let mut profile = Profile::default();
    let bounds = &policy.limits.resources;
    if bounds.iter().any(|(which, _)| *which == Resource::Memory) {
        profile.problem("limits.memoryMiB: macOS has no bound of this kind that it keeps".into());
    }
    if policy.capture.need == Need::Required {
        profile.problem(
            "network.capture: cannot be had on macOS, where a command has no network of its own"
                .into(),
        );
    }
    services::start(&mut profile, &mac.tag);
    services::mach(&mut profile, &policy.mac);
    services::devices(&mut profile);
    network::network(&mut profile, policy, mac);
    network::sockets(&mut profile, policy, mac);
    reading::reading(&mut profile, policy, mac);
    writing::writing(&mut profile, policy, mac);
    writing::moves(&mut profile, policy, mac);
    services::terminals(&mut profile, &policy.mac);
    profile.finish()
}

/// `path` and the directories above it, but for the root, which nobody moves.
fn ancestry(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(path), |at| crate::policy::files::parent(at))
        .filter(|at| *at != b"/")
}
