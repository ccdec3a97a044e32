//! The seccomp program: one table, a reason on each row (seccomp(2), kernel document
//! userspace-api/seccomp_filter).
//!
//! What is listed is refused; everything else is allowed, for the namespaces, the
//! mount plan and `no_new_privs` hold what a list cannot. The program checks the
//! architecture first, so that no number is judged by another table's meaning.
//! Arguments are compared in their low 32 bits: the kernel's own view of an `int`.

use std::fmt::Write;

use super::syscalls::{ROWS, Row, Rule};
use crate::parse::settings::UnixSockets;

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

/// Low word of argument `index`.
const fn argument(index: u32) -> Insn {
    insn(LOAD, 0, 0, ARGUMENTS.wrapping_add(index.wrapping_mul(8)))
}

/// The number of a row on `machine`, if the system call exists there.
fn number(row: &Row, machine: Machine) -> Option<u32> {
    match machine {
        Machine::X86_64 => row.x86_64,
        Machine::Aarch64 => row.aarch64,
    }
}

/// The program for `machine`.
pub fn program(machine: Machine, unix: UnixSockets) -> Vec<Insn> {
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
    for row in ROWS {
        let Some(number) = number(row, machine) else {
            continue;
        };
        let body = body(row.rule, unix);
        // Every body ends in a return, so that the number is still loaded behind it.
        let skip = u8::try_from(body.len()).unwrap_or(u8::MAX);
        out.push(insn(JUMP_EQUAL, 0, skip, number));
        out.extend(body);
    }
    out.push(insn(RETURN, 0, 0, ALLOW));
    out
}

/// What happens once the number has matched.
fn body(rule: Rule, unix: UnixSockets) -> Vec<Insn> {
    let allow = insn(RETURN, 0, 0, ALLOW);
    match rule {
        Rule::Refuse(errno) => vec![refuse(errno)],
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
            UnixSockets::None => vec![
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
            inet,
            netlink,
            route,
            refused,
            unsupported,
        } => {
            let [v4, v6] = inet;
            let for_unix = match unix {
                UnixSockets::None => refuse(refused),
                UnixSockets::All => allow,
            };
            vec![
                argument(0),
                insn(JUMP_EQUAL, 7, 0, v4),
                insn(JUMP_EQUAL, 6, 0, v6),
                insn(JUMP_EQUAL, 0, 1, af_unix),
                for_unix,
                insn(JUMP_EQUAL, 0, 2, netlink),
                argument(2),
                insn(JUMP_EQUAL, 1, 0, route),
                refuse(unsupported),
                allow,
            ]
        }
    }
}

/// The program in words, one line a rule, for `--dry-run`.
pub fn listing(machine: Machine, unix: UnixSockets) -> String {
    let mut out = format!("{machine:?}; another architecture or ABI: errno {ENOSYS}\n");
    for row in ROWS {
        let Some(number) = number(row, machine) else {
            continue;
        };
        let what = match row.rule {
            Rule::Refuse(errno) => format!("errno {errno}"),
            Rule::RefuseFlags(index, flags, errno) => {
                format!("errno {errno} if argument {index} has a bit of {flags:#x}")
            }
            Rule::RefuseValues(index, [one, two], errno) => {
                format!("errno {errno} if argument {index} is {one:#x} or {two:#x}")
            }
            Rule::Pair { refused, .. } => match unix {
                UnixSockets::None => format!("errno {refused} for datagrams"),
                UnixSockets::All => "allowed".to_owned(),
            },
            Rule::Socket { .. } => match unix {
                UnixSockets::None => "IPv4, IPv6 and route netlink only".to_owned(),
                UnixSockets::All => "IPv4, IPv6, Unix and route netlink only".to_owned(),
            },
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{} ({number}): {what}; {}", row.name, row.reason);
    }
    out += "everything else: allowed\n";
    out
}
