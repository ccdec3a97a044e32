//! The table of refused system calls: numbers of both machines (asm/unistd.h,
//! asm-generic/unistd.h), what is refused, and why.

/// What is done when a system call's number has matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Always fails with this errno.
    Refuse(u32),
    /// The supervisor answers (seccomp_unotify(2)).
    Ask,
    /// Argument, bits, errno: fails if any of the bits is set.
    RefuseFlags(u32, u32, u32),
    /// Argument, values, errno: fails if it is one of the values.
    RefuseValues(u32, [u32; 2], u32),
    /// socketpair(2), by type (argument 1): a datagram pair can be pointed at any
    /// Unix socket with sendto(2), so without Unix sockets there is none.
    Pair {
        /// SOCK_TYPE_MASK: the bits that are the type.
        mask: u32,
        /// SOCK_DGRAM, and SOCK_RAW, which the kernel takes for it.
        datagrams: [u32; 2],
        /// errno for those.
        refused: u32,
    },
    /// socket(2), by family (argument 0) and protocol (argument 2).
    Socket {
        /// AF_UNIX: as the policy says.
        unix: u32,
        /// SOCK_TYPE_MASK: the bits of argument 1 that are the type.
        mask: u32,
        /// SOCK_STREAM and SOCK_SEQPACKET: those that reach one peer only, and not before
        /// connect(2).
        streams: [u32; 2],
        /// AF_INET and AF_INET6: allowed.
        inet: [u32; 2],
        /// AF_NETLINK: allowed with one protocol.
        netlink: u32,
        /// That protocol, NETLINK_ROUTE.
        route: u32,
        /// errno for AF_UNIX when it is not allowed.
        refused: u32,
        /// errno for every other family.
        unsupported: u32,
    },
}

/// Under which policies a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Under all.
    Always,
    /// Where the command may not make user namespaces.
    NoUserNamespaces,
    /// Where nothing else keeps signals inside (Landlock, ABI 6).
    SignalsNotScoped,
    /// Where some Unix sockets may be reached.
    UnixSocketsListed,
}

/// One system call.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its number on x86-64.
    pub x86_64: Option<u32>,
    /// Its number on AArch64.
    pub aarch64: Option<u32>,
    /// What is done.
    pub rule: Rule,
    /// When.
    pub when: When,
    /// Why.
    pub reason: &'static str,
}

// asm-generic/errno.h
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const EAFNOSUPPORT: u32 = 97;

// linux/sched.h: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const NAMESPACES: u32 = 0x7e02_0000;
/// CLONE_NEWTIME; in clone(2) the same bit belongs to the exit signal.
const NEWTIME: u32 = 0x80;

// asm-generic/ioctls.h
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;

/// bits/socket.h, linux/netlink.h.
const SOCKETS: Rule = Rule::Socket {
    unix: 1,
    mask: 0xf,
    streams: [1, 5],
    inet: [2, 10],
    netlink: 16,
    route: 0,
    refused: EPERM,
    unsupported: EAFNOSUPPORT,
};

/// bits/socket_type.h, linux/net.h.
const PAIRS: Rule = Rule::Pair {
    mask: 0xf,
    datagrams: [2, 3],
    refused: EPERM,
};

const fn row(
    name: &'static str,
    x86_64: u32,
    aarch64: u32,
    rule: Rule,
    reason: &'static str,
) -> Row {
    Row {
        name,
        x86_64: Some(x86_64),
        aarch64: Some(aarch64),
        rule,
        when: When::Always,
        reason,
    }
}

impl Row {
    /// The same row, under fewer policies.
    const fn when(self, when: When) -> Self {
        Self { when, ..self }
    }
}

/// The table.
pub const ROWS: &[Row] = &[
    row(
        "socketpair",
        53,
        199,
        PAIRS,
        "a datagram pair reaches every Unix socket by sendto",
    ),
    row(
        "socket",
        41,
        198,
        SOCKETS,
        "other families cross or bypass a network namespace",
    ),
    row(
        "connect",
        42,
        203,
        Rule::Ask,
        "the supervisor connects in the command's place, to what is listed",
    )
    .when(When::UnixSocketsListed),
    row(
        "io_uring_setup",
        425,
        425,
        Rule::Refuse(ENOSYS),
        "a ring makes system calls that no filter sees",
    ),
    row(
        "io_uring_enter",
        426,
        426,
        Rule::Refuse(ENOSYS),
        "as io_uring_setup",
    ),
    row(
        "io_uring_register",
        427,
        427,
        Rule::Refuse(ENOSYS),
        "as io_uring_setup",
    ),
    row(
        "clone3",
        435,
        435,
        Rule::Refuse(ENOSYS),
        "its flags lie in memory; ENOSYS makes libraries fall back to clone",
    ),
    row(
        "clone",
        56,
        220,
        Rule::RefuseFlags(0, NAMESPACES, EPERM),
        "a new user namespace gives every capability over it",
    )
    .when(When::NoUserNamespaces),
    row(
        "unshare",
        272,
        97,
        Rule::RefuseFlags(0, NAMESPACES | NEWTIME, EPERM),
        "as clone",
    )
    .when(When::NoUserNamespaces),
    row(
        "setns",
        308,
        268,
        Rule::Refuse(EPERM),
        "enters another namespace",
    )
    .when(When::NoUserNamespaces),
    row(
        "mount",
        165,
        40,
        Rule::Refuse(EPERM),
        "changes the mount plan",
    )
    .when(When::NoUserNamespaces),
    row("umount2", 166, 39, Rule::Refuse(EPERM), "as mount").when(When::NoUserNamespaces),
    row("pivot_root", 155, 41, Rule::Refuse(EPERM), "as mount").when(When::NoUserNamespaces),
    row("chroot", 161, 51, Rule::Refuse(EPERM), "as mount").when(When::NoUserNamespaces),
    row("open_tree", 428, 428, Rule::Refuse(EPERM), "as mount").when(When::NoUserNamespaces),
    row("move_mount", 429, 429, Rule::Refuse(EPERM), "as mount").when(When::NoUserNamespaces),
    row("fsopen", 430, 430, Rule::Refuse(EPERM), "as mount").when(When::NoUserNamespaces),
    row("fsconfig", 431, 431, Rule::Refuse(EPERM), "as mount").when(When::NoUserNamespaces),
    row("fsmount", 432, 432, Rule::Refuse(EPERM), "as mount").when(When::NoUserNamespaces),
    row("fspick", 433, 433, Rule::Refuse(EPERM), "as mount").when(When::NoUserNamespaces),
    row("mount_setattr", 442, 442, Rule::Refuse(EPERM), "as mount").when(When::NoUserNamespaces),
    row("open_tree_attr", 467, 467, Rule::Refuse(EPERM), "as mount").when(When::NoUserNamespaces),
    row(
        "ioctl",
        16,
        29,
        Rule::RefuseValues(1, [TIOCSTI, TIOCLINUX], EPERM),
        "TIOCSTI and TIOCLINUX type into the caller's terminal",
    ),
    row(
        "kill",
        62,
        129,
        Rule::RefuseValues(0, [0, 0], EPERM),
        "pid 0 is the process group, to which the caller belongs",
    )
    .when(When::SignalsNotScoped),
    row(
        "add_key",
        248,
        217,
        Rule::Refuse(EPERM),
        "kernel keyrings are not namespaced",
    ),
    row("request_key", 249, 218, Rule::Refuse(EPERM), "as add_key"),
    row("keyctl", 250, 219, Rule::Refuse(EPERM), "as add_key"),
    row(
        "bpf",
        321,
        280,
        Rule::Refuse(EPERM),
        "kernel attack surface",
    ),
    row(
        "perf_event_open",
        298,
        241,
        Rule::Refuse(EPERM),
        "kernel attack surface",
    ),
    row(
        "userfaultfd",
        323,
        282,
        Rule::Refuse(EPERM),
        "makes kernel races easy to win",
    ),
    row(
        "kexec_load",
        246,
        104,
        Rule::Refuse(EPERM),
        "replaces the kernel",
    ),
    row(
        "kexec_file_load",
        320,
        294,
        Rule::Refuse(EPERM),
        "as kexec_load",
    ),
    row(
        "init_module",
        175,
        105,
        Rule::Refuse(EPERM),
        "loads kernel code",
    ),
    row(
        "finit_module",
        313,
        273,
        Rule::Refuse(EPERM),
        "as init_module",
    ),
    row(
        "delete_module",
        176,
        106,
        Rule::Refuse(EPERM),
        "as init_module",
    ),
    row(
        "acct",
        163,
        89,
        Rule::Refuse(EPERM),
        "writes to a file by the kernel's hand",
    ),
    row(
        "swapon",
        167,
        224,
        Rule::Refuse(EPERM),
        "host administration",
    ),
    row(
        "swapoff",
        168,
        225,
        Rule::Refuse(EPERM),
        "host administration",
    ),
    row(
        "quotactl",
        179,
        60,
        Rule::Refuse(EPERM),
        "host administration",
    ),
    row(
        "quotactl_fd",
        443,
        443,
        Rule::Refuse(EPERM),
        "host administration",
    ),
    row(
        "open_by_handle_at",
        304,
        265,
        Rule::Refuse(EPERM),
        "opens files without a path to them",
    ),
    row(
        "process_madvise",
        440,
        440,
        Rule::Refuse(EPERM),
        "acts on other processes' memory",
    ),
];
