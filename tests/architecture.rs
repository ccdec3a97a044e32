//! The import rule, held by reading the source.

use std::fs;
use std::path::{Path, PathBuf};

/// A room, and the rooms it may name besides itself, `error` and `limits`.
const ROOMS: &[(&str, &[&str])] = &[
    ("parse", &[]),
    ("policy", &["parse"]),
    ("emit", &["policy", "parse"]),
    ("proxy", &["parse", "policy"]),
    ("violation", &["parse", "policy"]),
    ("args", &[]),
    ("error", &[]),
    ("limits", &[]),
    ("sys", &[]),
    ("reactor", &["proxy", "policy", "parse", "sys"]),
    (
        "api",
        &[
            "parse",
            "policy",
            "proxy",
            "violation",
            "args",
            "sys",
            "reactor",
            "run",
        ],
    ),
    (
        "run",
        &[
            "parse",
            "policy",
            "emit",
            "proxy",
            "violation",
            "args",
            "sys",
            "reactor",
        ],
    ),
];

/// Rooms that decide and never act.
const PURE: &[&str] = &[
    "parse",
    "policy",
    "emit",
    "proxy",
    "violation",
    "args",
    "limits",
];

/// What a pure room does not name.
const ACTS: &[&str] = &[
    "std::fs",
    "std::process",
    "std::env",
    "std::thread",
    "std::io",
    "std::os",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "Instant",
    "SystemTime",
    "libc::",
    "mio::",
    "target_os",
];

fn sources(at: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(at).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every source file: its room, its path below src, its code without comments.
fn code() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 30, "the source is not where it was");
    found
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let room = name.split(['/', '.']).next().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().map(|l| l.split("//").next().unwrap());
            (room, name, lines.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

#[test]
fn imports_point_down_only() {
    for (room, name, code) in code() {
        let Some((_, allowed)) = ROOMS.iter().find(|(r, _)| *r == room) else {
            assert!(
                room == "main" || room == "lib",
                "{name}: a room that the rule does not know"
            );
            continue;
        };
        for used in code.split("crate::").skip(1) {
            let used: String = used
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let free = used == room || used == "error" || used == "limits";
            assert!(
                free || allowed.contains(&used.as_str()),
                "{name} imports {used}"
            );
        }
    }
}

#[test]
fn pure_rooms_name_nothing_that_acts() {
    for (room, name, code) in code() {
        if PURE.contains(&room.as_str()) {
            for word in ACTS {
                assert!(!code.contains(word), "{name} names {word}");
            }
        }
    }
}

#[test]
fn libc_and_unsafe_are_in_sys_and_mio_in_the_reactor() {
    for (room, name, code) in code() {
        assert!(
            room == "sys" || !code.contains("libc::"),
            "{name} names libc"
        );
        assert!(
            room == "reactor" || !code.contains("mio::"),
            "{name} names mio"
        );
        let unsafes = code.matches("unsafe {").count() + code.matches("unsafe fn").count();
        assert!(room == "sys" || unsafes == 0, "{name} is unsafe");
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    for (_, name, code) in code() {
        let lines = code.lines().count();
        assert!(lines <= 450, "{name} has {lines} lines");
    }
}

#[test]
fn there_are_four_direct_dependencies() {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("dev-dependencies") && !manifest.contains("build-dependencies"));
    let section = manifest.split("[dependencies]\n").nth(1).unwrap();
    let names: Vec<&str> = section
        .lines()
        .take_while(|l| !l.starts_with('['))
        .filter_map(|l| l.split_once(" = "))
        .map(|(n, _)| n)
        .collect();
    assert_eq!(names, ["lexopt", "libc", "miniserde", "mio"]);
}
