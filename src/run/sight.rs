//! What the observer sees by: the policy's rules, as they reach it in a memory file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use super::launch::{list, unlist};
use crate::emit::watched::Intent;
use crate::parse::settings::{Looks, UnixSockets, UserNamespaces};
use crate::policy::Policy;
use crate::policy::explain::{self, Decision, Socket};
use crate::policy::files::{Entry, Files, Kind, Rule};

/// What the observer sees by: the same rules as everything else.
pub struct Sight {
    /// Files.
    pub files: Files,
    sockets: Vec<Socket>,
    writes: Looks,
    reads: Looks,
    /// The command's root may be another than ours.
    roots: Looks,
}

const RULES: [Rule; 7] = [
    Rule::DenyRead,
    Rule::AllowRead,
    Rule::AllowWrite,
    Rule::DenyWrite,
    Rule::Protected,
    Rule::Pinned,
    Rule::Temporary,
];

impl Sight {
    /// The memory file's content.
    pub fn encode(policy: &Policy) -> Vec<u8> {
        let mut out = Vec::new();
        let rules: Vec<_> = policy.files.rules().collect();
        let paths: Vec<_> = rules.iter().map(|(path, ..)| path.to_vec()).collect();
        let origins: Vec<_> = rules.iter().map(|(.., o)| o.as_bytes().to_vec()).collect();
        let place = |rule: Rule| RULES.iter().zip(0u8..).find(|(r, _)| **r == rule);
        let bytes = rules
            .iter()
            .filter_map(|(_, rule, _)| Some(place(*rule)?.1));
        let looks = [
            u8::from(policy.observed.writes == Looks::Yes),
            u8::from(policy.observed.reads == Looks::Yes),
            u8::from(policy.user_namespaces == UserNamespaces::Allowed),
        ];
        list(&mut out, [bytes.collect(), looks.to_vec()].iter());
        list(&mut out, paths.iter());
        list(&mut out, origins.iter());
        let keys: Vec<_> = policy
            .sockets
            .iter()
            .map(|s| s.key.clone().into_bytes())
            .collect();
        let paths: Vec<_> = policy.sockets.iter().map(|s| s.path.clone()).collect();
        list(&mut out, keys.iter());
        list(&mut out, paths.iter());
        out
    }

    /// Reads [`Sight::encode`] back.
    ///
    /// # Errors
    /// That is not what it is.
    pub fn read(file: OwnedFd) -> io::Result<Self> {
        let mut content = Vec::new();
        File::from(file).read_to_end(&mut content)?;
        Self::decode(&content).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The same, of bytes; `None` if that is not what it is.
    pub fn decode(mut input: &[u8]) -> Option<Self> {
        let head = unlist(&mut input)?;
        let [rules, looks] = head.as_slice() else {
            return None;
        };
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
        let paths = unlist(&mut input)?;
        let origins = unlist(&mut input)?;
        let keys = unlist(&mut input)?;
        let sockets = unlist(&mut input)?;
        let mut files = Files::default();
        for ((path, origin), rule) in paths.into_iter().zip(origins).zip(rules) {
            files.add(Entry {
                path,
                kind: Kind::File,
                hold: None,
                rule: *RULES.get(usize::from(*rule))?,
                origin: text(origin)?,
            });
        }
        let socket = |(key, path)| {
            Some(Socket {
                key: text(key)?,
                path,
            })
        };
        let look = |at: usize| match looks.get(at) {
            Some(1) => Looks::Yes,
            _ => Looks::No,
        };
        Some(Self {
            files,
            sockets: keys
                .into_iter()
                .zip(sockets)
                .map(socket)
                .collect::<Option<_>>()?,
            writes: look(0),
            reads: look(1),
            roots: look(2),
        })
    }

    /// Whether attempts with this intent are looked at.
    pub fn looks_at(&self, intent: Intent) -> bool {
        let looks = match intent {
            Intent::Write => self.writes,
            Intent::Read => self.reads,
        };
        looks == Looks::Yes
    }

    /// Whether the command may connect to the Unix socket at `path`.
    pub fn socket(&self, path: &[u8]) -> Decision {
        explain::socket(UnixSockets::Listed, &self.sockets, path)
    }

    /// Whether `thread` sees the tree that the rules are about: one that may make
    /// namespaces of its own may see another.
    pub fn is_whole(&self, thread: u32) -> bool {
        let root = || fs::read_link(format!("/proc/{thread}/root"));
        self.roots == Looks::No || root().is_ok_and(|root| root.as_os_str() == "/")
    }
}
