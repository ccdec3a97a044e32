//! The seccomp program, interpreted, against a specification written on its own.

mod support;

use sandbox_runtime::emit::seccomp::{Insn, Machine, Signals, Surface, only, program};
use sandbox_runtime::emit::syscalls::{ROWS, Rule, When};
use sandbox_runtime::parse::settings::{Looks, Observed, UnixSockets, UserNamespaces};

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x5_0001;
const ENOSYS: u32 = 0x5_0026;
const EAFNOSUPPORT: u32 = 0x5_0061;
const ASK: u32 = 0x7fc0_0000;

/// Runs `program` over seccomp_data, as the kernel's classic BPF does.
fn interpret(program: &[Insn], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    // As words: the low half of an argument comes first (both machines are little-endian).
    let mut data = [number, arch, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (words, argument) in data[4..].chunks_mut(2).zip(arguments) {
        words.copy_from_slice(&[argument as u32, (argument >> 32) as u32]);
    }
    let (mut at, mut a) = (0usize, 0u32);
    loop {
        let Insn { code, jt, jf, k } = program[at];
        at += 1;
        let jump = match code {
            0x20 => {
                a = data[k as usize / 4];
                continue;
            }
            0x54 => {
                a &= k;
                continue;
            }
            0x06 => return k,
            0x15 => a == k,
            0x35 => a >= k,
            0x45 => a & k != 0,
            other => panic!("instruction {other:#x} at {at}"),
        };
        at += usize::from(if jump { jt } else { jf });
    }
}

/// Numbers that fail, with the errno, where the command may make no namespaces.
const NAMESPACES: &[(i64, i64, u32)] = &[
    (308, 268, EPERM),
    (165, 40, EPERM),
    (166, 39, EPERM),
    (155, 41, EPERM),
    (161, 51, EPERM),
    (428, 428, EPERM),
    (429, 429, EPERM),
    (430, 430, EPERM),
    (431, 431, EPERM),
    (432, 432, EPERM),
    (433, 433, EPERM),
    (442, 442, EPERM),
    (467, 467, EPERM),
];

/// Numbers that always fail, with the errno: x86-64, AArch64.
const REFUSED: &[(i64, i64, u32)] = &[
    (425, 425, ENOSYS),
    (426, 426, ENOSYS),
    (427, 427, ENOSYS),
    (435, 435, ENOSYS),
    (248, 217, EPERM),
    (249, 218, EPERM),
    (250, 219, EPERM),
    (321, 280, EPERM),
    (298, 241, EPERM),
    (323, 282, EPERM),
    (246, 104, EPERM),
    (320, 294, EPERM),
    (175, 105, EPERM),
    (313, 273, EPERM),
    (176, 106, EPERM),
    (163, 89, EPERM),
    (167, 224, EPERM),
    (168, 225, EPERM),
    (179, 60, EPERM),
    (443, 443, EPERM),
    (304, 265, EPERM),
    (440, 440, EPERM),
];

/// Numbers that an observer of writes hears of, whatever the arguments; -1: none.
const CHANGES: &[(i64, i64)] = &[
    (85, -1),
    (263, 35),
    (87, -1),
    (84, -1),
    (258, 34),
    (83, -1),
    (316, 276),
    (264, 38),
    (82, -1),
    (265, 37),
    (86, -1),
    (266, 36),
    (88, -1),
    (259, 33),
    (133, -1),
    (76, 45),
    (268, 53),
    (452, 452),
    (90, -1),
    (260, 54),
    (92, -1),
    (94, -1),
    (132, -1),
    (235, -1),
    (188, 5),
    (189, 6),
    (197, 14),
    (198, 15),
    (463, 463),
    (466, 466),
    (437, 437),
];

/// What an observer hears of.
fn observed(machine: Machine, observed: Observed, number: u32, arguments: [u64; 6]) -> bool {
    let pick = |x86: i64, arm: i64| {
        i64::from(number) == if machine == Machine::X86_64 { x86 } else { arm }
    };
    let (writes, reads) = (observed.writes == Looks::Yes, observed.reads == Looks::Yes);
    let opens = |flags: usize| reads || writes && arguments[flags] & 0o1103 != 0;
    pick(257, 56) && opens(2)
        || pick(2, -1) && opens(1)
        || pick(437, 437) && (reads || writes)
        || writes && (pick(280, 88) || pick(261, -1)) && arguments[1] != 0
        || writes && CHANGES.iter().any(|&(x86, arm)| pick(x86, arm))
}

fn specified(machine: Machine, surface: &Surface, number: u32, arguments: [u64; 6]) -> u32 {
    let unix = surface.unix;
    let nested = surface.user_namespaces == UserNamespaces::Allowed;
    let pick = |x86: u32, arm: u32| number == if machine == Machine::X86_64 { x86 } else { arm };
    let low = |i: usize| (arguments[i] & 0xffff_ffff) as u32;
    if machine == Machine::X86_64 && number >= 0x4000_0000 {
        return ENOSYS;
    }
    let here = |(x, a, _): &&(i64, i64, u32)| pick(*x as u32, *a as u32);
    let mounts = NAMESPACES.iter().filter(|_| !nested);
    if let Some((_, _, errno)) = REFUSED.iter().chain(mounts).find(here) {
        return *errno;
    }
    if observed(machine, surface.observed, number, arguments)
        || unix == UnixSockets::Listed && pick(42, 203)
    {
        return ASK;
    }
    if pick(41, 198) {
        return match (low(0), low(2)) {
            (2 | 10, _) | (16, 0) => ALLOW,
            (1, _) if unix == UnixSockets::Listed && matches!(low(1) & 0xf, 1 | 5) => ALLOW,
            (1, _) if unix == UnixSockets::All => ALLOW,
            (1, _) => EPERM,
            _ => EAFNOSUPPORT,
        };
    }
    if pick(53, 199) && unix != UnixSockets::All && matches!(low(1) & 0xf, 2 | 3) {
        return EPERM;
    }
    let namespaces = if nested { 0 } else { 0x7e02_0000 };
    let time = if nested { 0 } else { 0x80 };
    let group = surface.signals == Signals::Unscoped && pick(62, 129) && low(0) == 0;
    let refused = group
        || (pick(56, 220) && low(0) & namespaces != 0)
        || (pick(272, 97) && low(0) & (namespaces | time) != 0)
        || (pick(16, 29) && matches!(low(1), 0x5412 | 0x541c));
    if refused { EPERM } else { ALLOW }
}

/// Interesting values of an argument, and the same with high bits set.
fn values() -> Vec<u64> {
    let mut low: Vec<u64> = (0..46).collect();
    low.extend((0..32).map(|bit| 1 << bit));
    low.extend([0x5411, 0x5412, 0x5413, 0x541c, 0x7e02_0000, 0xffff_ffff]);
    let high: Vec<u64> = low.iter().map(|v| v | 1 << 32).collect();
    low.into_iter().chain(high).collect()
}

/// Every pair of values of two of its members is in one of them.
fn surfaces() -> [Surface; 6] {
    use {Signals::*, UnixSockets::*, UserNamespaces::*};
    let nothing = Observed::NOTHING;
    let writes = Observed::default();
    let reads = Observed {
        reads: Looks::Yes,
        ..nothing
    };
    let surface = |unix, user_namespaces, signals, observed| Surface {
        unix,
        user_namespaces,
        signals,
        observed,
    };
    [
        surface(None, Refused, Scoped, nothing),
        surface(All, Refused, Unscoped, writes),
        surface(None, Allowed, Unscoped, writes),
        surface(All, Allowed, Scoped, nothing),
        surface(Listed, Refused, Scoped, reads),
        surface(Listed, Allowed, Unscoped, nothing),
    ]
}

const BOTH: [(Machine, u32); 2] = [
    (Machine::X86_64, 0xc000_003e),
    (Machine::Aarch64, 0xc000_00b7),
];

#[test]
fn pitfall_18_the_program_is_the_table_for_every_number_and_for_high_bits() {
    for (machine, arch) in BOTH {
        for surface in surfaces() {
            let program = program(machine, &surface);
            for number in (0..1024).chain([0x4000_0000, 0x4000_0029, 0xffff_ffff]) {
                for value in values() {
                    for (place, first) in [(0, 0), (1, 16), (1, 1), (2, 16)] {
                        let mut arguments = [0; 6];
                        arguments[0] = first;
                        arguments[place] = value;
                        let got = interpret(&program, arch, number, arguments);
                        let want = specified(machine, &surface, number, arguments);
                        assert_eq!(got, want, "{machine:?} {number} {arguments:x?}");
                    }
                }
            }
        }
    }
}

#[test]
fn pitfall_19_another_architecture_never_reaches_allow() {
    for (machine, arch) in BOTH {
        let program = program(machine, &surfaces()[3]);
        for other in [0, 0x4000_0003, 0xc000_003e, 0xc000_00b7, 0x4000_0028]
            .into_iter()
            .filter(|a| *a != arch)
        {
            for number in 0..512 {
                assert_eq!(interpret(&program, other, number, [0; 6]), ENOSYS);
            }
        }
    }
}

#[test]
fn the_numbers_are_the_c_librarys() {
    let check = [
        (libc::SYS_setns, 308, 268),
        (libc::SYS_mount, 165, 40),
        (libc::SYS_umount2, 166, 39),
        (libc::SYS_pivot_root, 155, 41),
        (libc::SYS_chroot, 161, 51),
        (libc::SYS_add_key, 248, 217),
        (libc::SYS_keyctl, 250, 219),
        (libc::SYS_bpf, 321, 280),
        (libc::SYS_perf_event_open, 298, 241),
        (libc::SYS_userfaultfd, 323, 282),
        (libc::SYS_kexec_load, 246, 104),
        (libc::SYS_kexec_file_load, 320, 294),
        (libc::SYS_init_module, 175, 105),
        (libc::SYS_finit_module, 313, 273),
        (libc::SYS_delete_module, 176, 106),
        (libc::SYS_acct, 163, 89),
        (libc::SYS_swapon, 167, 224),
        (libc::SYS_swapoff, 168, 225),
        (libc::SYS_quotactl, 179, 60),
        (libc::SYS_open_by_handle_at, 304, 265),
        (libc::SYS_process_madvise, 440, 440),
        (libc::SYS_io_uring_setup, 425, 425),
        (libc::SYS_clone3, 435, 435),
        (libc::SYS_mount_setattr, 442, 442),
        (libc::SYS_socket, 41, 198),
        (libc::SYS_clone, 56, 220),
        (libc::SYS_unshare, 272, 97),
        (libc::SYS_ioctl, 16, 29),
        (libc::SYS_connect, 42, 203),
        (libc::SYS_openat, 257, 56),
        (libc::SYS_openat2, 437, 437),
        (libc::SYS_unlinkat, 263, 35),
        (libc::SYS_mkdirat, 258, 34),
        (libc::SYS_renameat2, 316, 276),
        (libc::SYS_renameat, 264, 38),
        (libc::SYS_linkat, 265, 37),
        (libc::SYS_symlinkat, 266, 36),
        (libc::SYS_mknodat, 259, 33),
        (libc::SYS_truncate, 76, 45),
        (libc::SYS_fchmodat, 268, 53),
        (libc::SYS_fchmodat2, 452, 452),
        (libc::SYS_fchownat, 260, 54),
        (libc::SYS_utimensat, 280, 88),
        (libc::SYS_setxattr, 188, 5),
        (libc::SYS_lsetxattr, 189, 6),
        (libc::SYS_removexattr, 197, 14),
        (libc::SYS_lremovexattr, 198, 15),
    ];
    for (ours, x86, arm) in check {
        assert_eq!(
            ours,
            if cfg!(target_arch = "x86_64") {
                x86
            } else {
                arm
            }
        );
    }
}

#[test]
fn every_jump_stays_inside_and_the_kernel_takes_the_length() {
    for (machine, _) in BOTH {
        let program = program(machine, &surfaces()[1]);
        assert!(program.len() <= 4096);
        for (at, insn) in program.iter().enumerate() {
            let furthest = at + 1 + usize::from(insn.jt.max(insn.jf));
            assert!(insn.code == 0x06 || furthest < program.len());
        }
        assert_eq!(program.last().map(|i| (i.code, i.k)), Some((0x06, ALLOW)));
    }
}

#[test]
fn the_supervisors_own_program_lets_what_is_listed_pass_and_nothing_else() {
    for (machine, arch) in BOTH {
        let listed = [0, 1, 60, 232, 441];
        let program = only(machine, &listed);
        for number in (0..1024).chain([0x4000_0000, 0xffff_ffff]) {
            let want = if listed.contains(&number) {
                ALLOW
            } else {
                ENOSYS
            };
            assert_eq!(interpret(&program, arch, number, [0; 6]), want);
            assert_eq!(interpret(&program, 0x4000_0003, number, [0; 6]), ENOSYS);
        }
    }
}

/// What nobody must be able to do once the sandbox stands, whoever has taken over the
/// supervisor.
#[test]
fn the_supervisor_keeps_no_call_by_which_it_could_undo_the_sandbox() {
    let own = sandbox_runtime::sys::own_calls::numbers();
    for call in [
        libc::SYS_ptrace,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_mount,
        libc::SYS_move_mount,
        libc::SYS_io_uring_setup,
        libc::SYS_bpf,
        libc::SYS_listen,
        libc::SYS_renameat2,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_mkdirat,
        libc::SYS_mknodat,
        libc::SYS_truncate,
        libc::SYS_setuid,
        libc::SYS_capset,
    ] {
        assert!(!own.contains(&u32::try_from(call).unwrap()), "{call}");
    }
}

/// A number, its arguments, and the errno that it must fail with.
fn probes() -> Vec<(u32, [u64; 6], u32)> {
    let mut probes = Vec::new();
    for row in ROWS.iter().filter(|row| row.when != When::SignalsNotScoped) {
        if row.when == When::UnixSocketsListed {
            continue;
        }
        let number = if cfg!(target_arch = "x86_64") {
            row.x86_64
        } else {
            row.aarch64
        };
        let number = number.unwrap();
        let mut add = |index: usize, value: u64, errno| {
            for high in [0, 1 << 32, 1 << 63] {
                let mut arguments = [0; 6];
                arguments[index] = value | high;
                probes.push((number, arguments, errno));
            }
        };
        match row.rule {
            Rule::Refuse(errno) => add(0, 0, errno),
            Rule::Ask => {}
            Rule::RefuseFlags(index, flags, errno) => {
                let bits = (0..32)
                    .map(|bit| 1u64 << bit)
                    .filter(|bit| u64::from(flags) & bit != 0);
                bits.for_each(|bit| add(index as usize, bit, errno));
            }
            Rule::RefuseValues(index, values, errno) => {
                values
                    .iter()
                    .for_each(|value| add(index as usize, u64::from(*value), errno));
            }
            Rule::Pair {
                datagrams, refused, ..
            } => {
                datagrams
                    .iter()
                    .for_each(|kind| add(1, u64::from(*kind), refused));
            }
            Rule::Socket {
                unix,
                refused,
                unsupported,
                inet,
                netlink,
                ..
            } => {
                add(0, u64::from(unix), refused);
                let known = [unix, netlink, inet[0], inet[1]];
                let others = (0..50).filter(|family| !known.contains(family));
                others.for_each(|family| add(0, u64::from(family), unsupported));
            }
        }
    }
    probes
}

#[test]
fn pitfall_20_every_refused_call_is_refused_in_the_real_sandbox_with_the_tables_errno() {
    let probes = probes();
    let scratch = support::Scratch::new();
    let list: Vec<String> = probes
        .iter()
        .map(|(number, arguments, errno)| format!("({number}, {arguments:?}, {errno})"))
        .collect();
    scratch.file(
        "probe.py",
        &format!(
            "PROBES = [{}]
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
wrong = 0
for number, arguments, errno in PROBES:
    ctypes.set_errno(0)
    ret = libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, arguments))
    if ret != -1 or ctypes.get_errno() != errno:
        wrong += 1; print(number, arguments, ret, ctypes.get_errno(), 'in place of', errno)
print(len(PROBES), 'calls,', wrong, 'wrong')
",
            list.join(",\n")
        ),
    );
    for who in support::everyone() {
        let out = support::shell(who, &scratch, "{}", "exec python3 probe.py");
        let expected = format!("{} calls, 0 wrong\n", probes.len());
        assert_eq!(
            support::text(&out.stdout),
            expected,
            "{}",
            support::text(&out.stderr)
        );
    }
    assert!(probes.len() > 300, "{}", probes.len());
}
