//! What directories, and what lies in them, are called here.

/// What a directory entry is, as far as the file system says in the listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryType {
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A socket.
    Socket,
    /// Anything else that is known.
    Other,
    /// The file system does not say (DT_UNKNOWN).
    Unknown,
}

/// What is removed: a directory, which must be empty, or anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A directory.
    Directory,
    /// What is none.
    Other,
}

/// An object of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Device number.
    pub device: u64,
    /// Inode number: it may be used again as soon as it is free.
    pub inode: u64,
    /// When it was made, in nanoseconds, where the file system knows; and so what tells
    /// it from another that has its number now.
    pub born: u64,
    /// What it is (`S_IFMT`, inode(7)).
    pub kind: u64,
}

impl Identity {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == u64::from(libc::S_IFDIR)
    }
}

/// Whether an open object is the root of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountRoot {
    /// It is.
    Root,
    /// It lies inside one.
    Inside,
}

/// Flags to open what may be no regular file: a fifo does not wait for its other end,
/// a symbolic link is not followed.
pub const NO_WAIT: i32 = libc::O_NONBLOCK | libc::O_NOFOLLOW;
