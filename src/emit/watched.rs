//! The system calls that the observer hears of: numbers of both machines
//! (asm/unistd.h, asm-generic/unistd.h), and where their arguments name a path.
//!
//! Those through a descriptor (write(2), fchmod(2), …) are not among them: what a
//! descriptor may do was decided when it was opened.

use super::seccomp::Machine;
use crate::parse::settings::{Looks, Observed};

// fcntl.h, asm-generic/fcntl.h; the same on both machines.
const CREATE: u64 = 0o100;
/// O_WRONLY, O_RDWR, O_TRUNC: what is there is changed.
const CHANGES: u64 = 0o1003;
/// The bit of O_TMPFILE, which is about a directory, that is its own.
const NAMELESS: u64 = 0o20_000_000;
const EXCLUSIVE: u64 = 0o200;
/// O_WRONLY, O_RDWR, O_CREAT, O_TRUNC: any of these, and an open is more than a look.
const WRITES: u32 = 0o1103;
/// O_PATH: neither reads nor writes.
const PATH_ONLY: u64 = 0o10_000_000;
/// O_NOFOLLOW has a number of its own on each machine.
const fn no_follow(machine: Machine) -> u64 {
    match machine {
        Machine::X86_64 => 0o400_000,
        Machine::Aarch64 => 0o100_000,
    }
}
/// AT_REMOVEDIR.
const AT_REMOVE_DIRECTORY: u64 = 0x200;
/// AT_SYMLINK_NOFOLLOW.
const AT_NO_FOLLOW: u64 = 0x100;
/// AT_SYMLINK_FOLLOW, for linkat(2).
const AT_FOLLOW: u64 = 0x400;

/// Where a path stands among the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    /// Index of the descriptor that a relative path starts from; `None`: the working
    /// directory.
    directory: Option<u8>,
    /// Index of the pointer.
    path: u8,
    last: Last,
    subject: Subject,
}

/// What is done with a symbolic link as the last component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Followed,
    Kept,
    /// Kept if the flag argument of this index has AT_SYMLINK_NOFOLLOW.
    Flag(u8),
    /// Followed if the flag argument of this index has AT_SYMLINK_FOLLOW.
    Follow(u8),
}

/// What has to be there for the call to do anything, sandbox or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Something.
    Present,
    /// Something that is no directory.
    File,
    /// A directory.
    Directory,
    /// Nothing.
    Absent,
    /// Nothing, or what is no directory.
    NoDirectory,
    /// Whatever there is.
    Any,
}

/// What is passed to the program by which calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Always changes something.
    Paths(&'static [At]),
    /// open(2) and its like: flags in the argument of this index.
    Open(At, u8),
    /// openat2(2): flags in memory, where the argument of this index points.
    OpenHow(At, u8),
    /// unlinkat(2): AT_REMOVEDIR in the argument of this index.
    Unlink(At, u8),
    /// utimensat(2): without a path it is about a descriptor.
    NotNull(&'static [At]),
}

/// A watched call.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// Its name.
    pub name: &'static str,
    x86_64: Option<u32>,
    aarch64: Option<u32>,
    shape: Shape,
}

/// Which of a call's invocations are heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// All.
    All,
    /// Those with any of these bits in the argument of this index.
    AnyBit(u32, u32),
    /// Those in which the argument of this index is not null.
    NotNull(u32),
}

const fn at(directory: Option<u8>, path: u8, last: Last, subject: Subject) -> At {
    At {
        directory,
        path,
        last,
        subject,
    }
}

use Last::{Flag, Follow, Followed, Kept};
use Subject::{Absent, Any, Directory, File, NoDirectory, Present};

const fn both(name: &'static str, x86_64: u32, aarch64: u32, shape: Shape) -> Watched {
    Watched {
        name,
        x86_64: Some(x86_64),
        aarch64: Some(aarch64),
        shape,
    }
}

/// A call that newer machines have no number for.
const fn old(name: &'static str, x86_64: u32, shape: Shape) -> Watched {
    Watched {
        name,
        x86_64: Some(x86_64),
        aarch64: None,
        shape,
    }
}

const NEW: At = at(None, 0, Kept, Absent);
const NEW_AT: At = at(Some(0), 1, Kept, Absent);
const OLD: At = at(None, 0, Kept, Present);
const OLD_AT: At = at(Some(0), 1, Kept, Present);
const FOLLOWED: At = at(None, 0, Followed, Present);
const FOLLOWED_AT: At = at(Some(0), 1, Followed, Present);
/// As the flags in this argument have it.
const fn flagged(flags: u8) -> At {
    at(Some(0), 1, Flag(flags), Present)
}
const TO: At = at(None, 1, Kept, Any);
const TO_AT: At = at(Some(2), 3, Kept, Any);

/// The table, those that are called most first.
pub const WATCHED: &[Watched] = &[
    both(
        "openat",
        257,
        56,
        Shape::Open(at(Some(0), 1, Followed, NoDirectory), 2),
    ),
    old(
        "open",
        2,
        Shape::Open(at(None, 0, Followed, NoDirectory), 1),
    ),
    both(
        "openat2",
        437,
        437,
        Shape::OpenHow(at(Some(0), 1, Followed, NoDirectory), 2),
    ),
    old(
        "creat",
        85,
        Shape::Paths(&[at(None, 0, Followed, NoDirectory)]),
    ),
    both("unlinkat", 263, 35, Shape::Unlink(OLD_AT, 2)),
    old("unlink", 87, Shape::Paths(&[at(None, 0, Kept, File)])),
    old("rmdir", 84, Shape::Paths(&[at(None, 0, Kept, Directory)])),
    both("mkdirat", 258, 34, Shape::Paths(&[NEW_AT])),
    old("mkdir", 83, Shape::Paths(&[NEW])),
    both("renameat2", 316, 276, Shape::Paths(&[OLD_AT, TO_AT])),
    both("renameat", 264, 38, Shape::Paths(&[OLD_AT, TO_AT])),
    old("rename", 82, Shape::Paths(&[OLD, TO])),
    both(
        "linkat",
        265,
        37,
        Shape::Paths(&[
            at(Some(0), 1, Follow(4), Present),
            at(Some(2), 3, Kept, Absent),
        ]),
    ),
    old("link", 86, Shape::Paths(&[OLD, at(None, 1, Kept, Absent)])),
    both(
        "symlinkat",
        266,
        36,
        Shape::Paths(&[at(Some(1), 2, Kept, Absent)]),
    ),
    old("symlink", 88, Shape::Paths(&[at(None, 1, Kept, Absent)])),
    both("mknodat", 259, 33, Shape::Paths(&[NEW_AT])),
    old("mknod", 133, Shape::Paths(&[NEW])),
    both(
        "truncate",
        76,
        45,
        Shape::Paths(&[at(None, 0, Followed, File)]),
    ),
    both("fchmodat", 268, 53, Shape::Paths(&[FOLLOWED_AT])),
    both("fchmodat2", 452, 452, Shape::Paths(&[flagged(3)])),
    old("chmod", 90, Shape::Paths(&[FOLLOWED])),
    both("fchownat", 260, 54, Shape::Paths(&[flagged(4)])),
    old("chown", 92, Shape::Paths(&[FOLLOWED])),
    old("lchown", 94, Shape::Paths(&[OLD])),
    both("utimensat", 280, 88, Shape::NotNull(&[flagged(3)])),
    old("futimesat", 261, Shape::NotNull(&[FOLLOWED_AT])),
    old("utime", 132, Shape::Paths(&[FOLLOWED])),
    old("utimes", 235, Shape::Paths(&[FOLLOWED])),
    both("setxattr", 188, 5, Shape::Paths(&[FOLLOWED])),
    both("lsetxattr", 189, 6, Shape::Paths(&[OLD])),
    both("removexattr", 197, 14, Shape::Paths(&[FOLLOWED])),
    both("lremovexattr", 198, 15, Shape::Paths(&[OLD])),
    both("setxattrat", 463, 463, Shape::Paths(&[flagged(2)])),
    both("removexattrat", 466, 466, Shape::Paths(&[flagged(2)])),
];

/// What an attempt would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Change something.
    Write,
    /// Read a file.
    Read,
}

/// One path of a call, as it is to be read from the caller's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What for.
    pub intent: Intent,
    /// Where the path is, in the caller's memory.
    pub address: u64,
    /// Where a relative one starts.
    pub start: Start,
    /// Whether a symbolic link at its end is followed.
    pub link: LastLink,
    /// What has to be there.
    pub subject: Subject,
}

/// Where a relative path starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The caller's working directory.
    WorkingDirectory,
    /// What this descriptor of the caller's leads to.
    Descriptor(i32),
}

/// What is done with a symbolic link at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLink {
    /// It is followed.
    Followed,
    /// It is what is meant.
    Kept,
}

impl Watched {
    /// Its number on `machine`, if it exists there.
    pub fn number(&self, machine: Machine) -> Option<u32> {
        match machine {
            Machine::X86_64 => self.x86_64,
            Machine::Aarch64 => self.aarch64,
        }
    }

    /// Which of its invocations are heard of where this is `observed`; `None`: none.
    pub fn heard(&self, observed: Observed) -> Option<Heard> {
        let (writes, reads) = (observed.writes == Looks::Yes, observed.reads == Looks::Yes);
        match self.shape {
            Shape::Open(..) | Shape::OpenHow(..) if reads => Some(Heard::All),
            _ if !writes => None,
            Shape::Open(_, flags) => Some(Heard::AnyBit(u32::from(flags), WRITES)),
            Shape::Paths(_) | Shape::OpenHow(..) | Shape::Unlink(..) => Some(Heard::All),
            Shape::NotNull(_) => Some(Heard::NotNull(1)),
        }
    }

    /// Whether it may put a symbolic link where a directory was.
    pub fn makes_links(&self) -> bool {
        let parts = ["rename", "link", "symlink"];
        parts.iter().any(|part| self.name.starts_with(part))
    }

    /// Where openat2(2)'s flags are, in the caller's memory.
    pub fn flags_at(&self, arguments: &[u64; 6]) -> Option<u64> {
        match self.shape {
            Shape::OpenHow(_, index) => arguments.get(usize::from(index)).copied(),
            _ => None,
        }
    }

    /// What an invocation with these arguments attempts; `how` is what lies where
    /// [`Watched::flags_at`] says.
    pub fn attempts(&self, machine: Machine, arguments: &[u64; 6], how: u64) -> Vec<Attempt> {
        match self.shape {
            Shape::Paths(paths) | Shape::NotNull(paths) => paths
                .iter()
                .map(|at| at.attempt(arguments, Intent::Write))
                .collect(),
            Shape::Unlink(at, index) => {
                let directory = argument(arguments, index) & AT_REMOVE_DIRECTORY != 0;
                vec![Attempt {
                    subject: if directory { Directory } else { File },
                    ..at.attempt(arguments, Intent::Write)
                }]
            }
            Shape::Open(at, index) => {
                let flags = argument(arguments, index);
                at.open(machine, arguments, flags).into_iter().collect()
            }
            Shape::OpenHow(at, _) => at.open(machine, arguments, how).into_iter().collect(),
        }
    }
}

fn argument(arguments: &[u64; 6], index: u8) -> u64 {
    arguments.get(usize::from(index)).copied().unwrap_or(0)
}

impl At {
    fn attempt(&self, arguments: &[u64; 6], intent: Intent) -> Attempt {
        let has = |index, flag| argument(arguments, index) & flag != 0;
        let kept = match self.last {
            Followed => false,
            Kept => true,
            Flag(index) => has(index, AT_NO_FOLLOW),
            Follow(index) => !has(index, AT_FOLLOW),
        };
        Attempt {
            intent,
            address: argument(arguments, self.path),
            start: match self
                .directory
                .map(|index| descriptor(argument(arguments, index)))
            {
                None | Some(AT_WORKING_DIRECTORY) => Start::WorkingDirectory,
                Some(number) => Start::Descriptor(number),
            },
            link: if kept {
                LastLink::Kept
            } else {
                LastLink::Followed
            },
            subject: self.subject,
        }
    }

    fn open(&self, machine: Machine, arguments: &[u64; 6], flags: u64) -> Option<Attempt> {
        if flags & PATH_ONLY != 0 {
            return None;
        }
        let writes = flags & u64::from(WRITES) != 0;
        let intent = if writes { Intent::Write } else { Intent::Read };
        let kept =
            flags & no_follow(machine) != 0 || flags & (CREATE | EXCLUSIVE) == CREATE | EXCLUSIVE;
        let attempt = self.attempt(arguments, intent);
        Some(Attempt {
            link: if kept {
                LastLink::Kept
            } else {
                LastLink::Followed
            },
            subject: match (intent, flags & (CREATE | EXCLUSIVE)) {
                _ if flags & NAMELESS != 0 => Directory,
                (Intent::Read, _) => Present,
                // What is there would only be read.
                (Intent::Write, CREATE) if flags & CHANGES == 0 => Absent,
                (Intent::Write, CREATE) => NoDirectory,
                (Intent::Write, 0 | EXCLUSIVE) => File,
                (Intent::Write, _) => Absent,
            },
            ..attempt
        })
    }
}

/// AT_FDCWD.
const AT_WORKING_DIRECTORY: i32 = -100;

/// The kernel's view of a descriptor: the low word, signed.
fn descriptor(argument: u64) -> i32 {
    let [a, b, c, d, ..] = argument.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// The watched call of this number.
pub fn find(machine: Machine, number: u32) -> Option<&'static Watched> {
    WATCHED.iter().find(|w| w.number(machine) == Some(number))
}
