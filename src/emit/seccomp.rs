//! The seccomp program: one table, a reason on each row (seccomp(2), kernel document
//! userspace-api/seccomp_filter).
//!
//! What is listed is refused; everything else is allowed, for the namespaces, the
//! mount plan and `no_new_privs` hold what a list cannot. The program checks the
//! architecture first, so that no number is judged by another table's meaning.
//! Arguments are compared in their low 32 bits: the kernel's own view of an `int`.

use std::fmt::Write;

use super::syscalls::{ROWS, Row, Rule, When};
use super::watched::{Heard, WATCHED, Watched};
use crate::parse::settings::{Observed, UnixSockets, UserNamespaces};

/// One classic BPF instruction (linux/filter.h, `struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if true.
    pub jt: u8,
    /// Instructions to skip if false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// A processor architecture the table has numbers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// x86-64.
    X86_64,
    /// AArch64.
    Aarch64,
}

/// What of a policy the program rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surface {
    /// Unix sockets.
    pub unix: UnixSockets,
    /// User namespaces.
    pub user_namespaces: UserNamespaces,
    /// Whether Landlock keeps signals inside.
    pub signals: Signals,
    /// What the observer hears of.
    pub observed: Observed,
}

/// What keeps the command from signalling its caller's process group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signals {
    /// Landlock does.
    Scoped,
    /// This program has to.
    Unscoped,
}

impl Surface {
    /// Whether a row is part of the program.
    fn has(&self, row: &Row) -> bool {
        match row.when {
            When::Always => true,
            When::NoUserNamespaces => self.user_namespaces == UserNamespaces::Refused,
            When::SignalsNotScoped => self.signals == Signals::Unscoped,
            When::UnixSocketsListed => self.unix == UnixSockets::Listed,
        }
    }

    /// Whether the program asks a supervisor, which has to listen then.
    pub fn asks(&self) -> bool {
        self.observed != Observed::NOTHING || self.unix == UnixSockets::Listed
    }

    /// The calls that the observer hears of, with their numbers on `machine`.
    fn watched(&self, machine: Machine) -> impl Iterator<Item = (u32, &'static Watched, Heard)> {
        let heard = move |watched: &'static Watched| {
            Some((
                watched.number(machine)?,
                watched,
                watched.heard(self.observed)?,
            ))
        };
        WATCHED.iter().filter_map(heard)
    }

    /// The rows of the program that exist on `machine`, with their numbers there.
    fn rows(&self, machine: Machine) -> impl Iterator<Item = (u32, &'static Row)> {
        let rows = ROWS.iter().filter(|row| self.has(row));
        rows.filter_map(move |row| Some((number(row, machine)?, row)))
    }
}

// linux/bpf_common.h
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP_ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// linux/seccomp.h
const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const ASK: u32 = 0x7fc0_0000; // SECCOMP_RET_USER_NOTIF

// linux/audit.h
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const AUDIT_ARCH_AARCH64: u32 = 0xc000_00b7;

/// First number of the x32 ABI on x86-64 (asm/unistd.h, `__X32_SYSCALL_BIT`).
const X32: u32 = 0x4000_0000;

// Offsets in `struct seccomp_data` (linux/seccomp.h); both machines are little-endian.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const ENOSYS: u32 = 38;

const fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
    Insn { code, jt, jf, k }
}

const fn refuse(errno: u32) -> Insn {
    insn(RETURN, 0, 0, ERRNO | errno)
}

const fn ask() -> Insn {
    insn(RETURN, 0, 0, ASK)
}

/// Low word of argument `index`.
const fn argument(index: u32) -> Insn {
    insn(LOAD, 0, 0, ARGUMENTS.wrapping_add(index.wrapping_mul(8)))
}

/// High word of argument `index`.
const fn upper(index: u32) -> Insn {
    insn(
        LOAD,
        0,
        0,
        ARGUMENTS
            .wrapping_add(index.wrapping_mul(8))
            .wrapping_add(4),
    )
}

/// The number of a row on `machine`, if the system call exists there.
fn number(row: &Row, machine: Machine) -> Option<u32> {
    match machine {
        Machine::X86_64 => row.x86_64,
        Machine::Aarch64 => row.aarch64,
    }
}

/// The program that lets everything pass.
pub const ALLOW_ALL: [Insn; 1] = [insn(RETURN, 0, 0, ALLOW)];

/// The program that lets these system calls pass and no others: those do not exist for
/// the process, so that a C library falls back to what it did before it had them.
pub fn only(machine: Machine, numbers: &[u32]) -> Vec<Insn> {
    let mut out = prologue(machine);
    for number in numbers {
        out.extend([insn(JUMP_EQUAL, 0, 1, *number), insn(RETURN, 0, 0, ALLOW)]);
    }
    out.push(refuse(ENOSYS));
    out
}

/// Refuses every other architecture and ABI; leaves the number loaded.
fn prologue(machine: Machine) -> Vec<Insn> {
    let arch = match machine {
        Machine::X86_64 => AUDIT_ARCH_X86_64,
        Machine::Aarch64 => AUDIT_ARCH_AARCH64,
    };
    let mut out = vec![
        insn(LOAD, 0, 0, ARCHITECTURE),
        insn(JUMP_EQUAL, 1, 0, arch),
        refuse(ENOSYS),
        insn(LOAD, 0, 0, NUMBER),
    ];
    if machine == Machine::X86_64 {
        out.extend([insn(JUMP_AT_LEAST, 0, 1, X32), refuse(ENOSYS)]);
    }
    out
}

/// The program for `machine`.
pub fn program(machine: Machine, surface: &Surface) -> Vec<Insn> {
    let mut out = prologue(machine);
    // What is watched stands first, for it is called most; no call is in both tables.
    let watched = surface.watched(machine);
    let watched = watched.map(|(number, _, heard)| (number, hear(heard)));
    let rows = surface.rows(machine);
    let rows = rows.map(|(number, row)| (number, body(row.rule, surface.unix)));
    for (number, body) in watched.chain(rows) {
        // Every body ends in a return, so that the number is still loaded behind it.
        let skip = u8::try_from(body.len()).unwrap_or(u8::MAX);
        out.push(insn(JUMP_EQUAL, 0, skip, number));
        out.extend(body);
    }
    out.push(insn(RETURN, 0, 0, ALLOW));
    out
}

/// What happens once the number of a watched call has matched.
fn hear(heard: Heard) -> Vec<Insn> {
    let allow = insn(RETURN, 0, 0, ALLOW);
    match heard {
        Heard::All => vec![ask()],
        Heard::AnyBit(index, bits) => vec![
            argument(index),
            insn(JUMP_ANY_BIT, 0, 1, bits),
            ask(),
            allow,
        ],
        // A pointer is null if both of its words are.
        Heard::NotNull(index) => vec![
            argument(index),
            insn(JUMP_EQUAL, 0, 2, 0),
            upper(index),
            insn(JUMP_EQUAL, 1, 0, 0),
            ask(),
            allow,
        ],
    }
}

/// What happens once the number has matched.
fn body(rule: Rule, unix: UnixSockets) -> Vec<Insn> {
    let allow = insn(RETURN, 0, 0, ALLOW);
    match rule {
        Rule::Refuse(errno) => vec![refuse(errno)],
        Rule::Ask => vec![ask()],
        Rule::RefuseFlags(index, flags, errno) => {
            vec![
                argument(index),
                insn(JUMP_ANY_BIT, 0, 1, flags),
                refuse(errno),
                allow,
            ]
        }
        Rule::RefuseValues(index, [one, two], errno) => vec![
            argument(index),
            insn(JUMP_EQUAL, 1, 0, one),
            insn(JUMP_EQUAL, 0, 1, two),
            refuse(errno),
            allow,
        ],
        Rule::Pair {
            mask,
            datagrams: [one, two],
            refused,
        } => match unix {
            UnixSockets::All => vec![allow],
            UnixSockets::None | UnixSockets::Listed => vec![
                argument(1),
                insn(AND, 0, 0, mask),
                insn(JUMP_EQUAL, 1, 0, one),
                insn(JUMP_EQUAL, 0, 1, two),
                refuse(refused),
                allow,
            ],
        },
        Rule::Socket {
            unix: af_unix,
            mask,
            streams: [stream, packets],
            inet,
            netlink,
            route,
            refused,
            unsupported,
        } => {
            let [v4, v6] = inet;
            let for_unix = match unix {
                UnixSockets::None => vec![refuse(refused)],
                UnixSockets::Listed => vec![
                    argument(1),
                    insn(AND, 0, 0, mask),
                    insn(JUMP_EQUAL, 2, 0, stream),
                    insn(JUMP_EQUAL, 1, 0, packets),
                    refuse(refused),
                    allow,
                ],
                UnixSockets::All => vec![allow],
            };
            let skip = u8::try_from(for_unix.len()).unwrap_or(u8::MAX);
            let mut all = vec![
                argument(0),
                insn(JUMP_EQUAL, 1, 0, v4),
                insn(JUMP_EQUAL, 0, 1, v6),
                allow,
                insn(JUMP_EQUAL, 0, skip, af_unix),
            ];
            all.extend(for_unix);
            all.extend([
                insn(JUMP_EQUAL, 0, 2, netlink),
                argument(2),
                insn(JUMP_EQUAL, 1, 0, route),
                refuse(unsupported),
                allow,
            ]);
            all
        }
    }
}

/// The program in words, one line a rule, for `--dry-run`.
pub fn listing(machine: Machine, surface: &Surface) -> String {
    let mut out = format!("{machine:?}; another architecture or ABI: errno {ENOSYS}\n");
    let unix = surface.unix;
    for (number, row) in surface.rows(machine) {
        let what = match row.rule {
            Rule::Refuse(errno) => format!("errno {errno}"),
            Rule::RefuseFlags(index, flags, errno) => {
                format!("errno {errno} if argument {index} has a bit of {flags:#x}")
            }
            Rule::RefuseValues(index, [one, two], errno) => {
                let other = if two == one {
                    String::new()
                } else {
                    format!(" or {two:#x}")
                };
                format!("errno {errno} if argument {index} is {one:#x}{other}")
            }
            Rule::Ask => "as the supervisor answers".to_owned(),
            Rule::Pair { refused, .. } => match unix {
                UnixSockets::None | UnixSockets::Listed => format!("errno {refused} for datagrams"),
                UnixSockets::All => "allowed".to_owned(),
            },
            Rule::Socket { .. } => match unix {
                UnixSockets::None => "IPv4, IPv6 and route netlink only".to_owned(),
                UnixSockets::Listed => "IPv4, IPv6, Unix streams and route netlink only".to_owned(),
                UnixSockets::All => "IPv4, IPv6, Unix and route netlink only".to_owned(),
            },
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{} ({number}): {what}; {}", row.name, row.reason);
    }
    for (number, watched, heard) in surface.watched(machine) {
        let which = match heard {
            Heard::All => String::new(),
            Heard::AnyBit(index, bits) => format!(" if argument {index} has a bit of {bits:#x}"),
            Heard::NotNull(index) => format!(" if argument {index} is not null"),
        };
        let _ = writeln!(out, "{} ({number}): observed{which}", watched.name);
    }
    out += "everything else: allowed\n";
    out
}
