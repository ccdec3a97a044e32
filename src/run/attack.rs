//! The attack role: what `--doctor` runs inside a sandbox, in the command's place.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::error::{Error, While};
use crate::limits::ATTACK;
use crate::parse::settings::Guarantee;
use crate::sys::attack::{self as calls, Family};
use crate::sys::process::Pid;

/// What there is to attack: see `run::doctor`.
pub struct Targets {
    /// A directory with `outside` (not writable), `hidden` (not readable) and a `socket`.
    pub lab: PathBuf,
    /// A port of the host's 127.0.0.1 that is listened on.
    pub port: u16,
    /// A process outside.
    pub process: i32,
}

/// One attack. To succeed is to have broken the guarantee.
pub struct Attack {
    /// What it breaks.
    pub guarantee: Guarantee,
    /// What it does.
    pub name: &'static str,
    /// Does it.
    pub attempt: fn(&Targets) -> io::Result<()>,
}

const fn attack(
    guarantee: Guarantee,
    name: &'static str,
    attempt: fn(&Targets) -> io::Result<()>,
) -> Attack {
    Attack {
        guarantee,
        name,
        attempt,
    }
}

use Guarantee::{FsRead, FsWrite, Net, Proc, Unix};

/// All of them, by guarantee.
pub const ATTACKS: &[Attack] = &[
    attack(FsWrite, "make a file outside", |t| {
        File::create_new(t.lab.join("outside/new")).map(drop)
    }),
    attack(FsWrite, "write a file outside", |t| {
        OpenOptions::new()
            .append(true)
            .open(t.lab.join("outside/file"))?
            .write_all(b"x")
    }),
    attack(FsWrite, "change permissions outside", |t| {
        calls::chmod(t.lab.join("outside/file").as_os_str().as_bytes())
    }),
    attack(FsWrite, "remove a file outside", |t| {
        fs::remove_file(t.lab.join("outside/file"))
    }),
    attack(FsWrite, "write standard input, opened again", |_| {
        if !fs::metadata("/proc/self/fd/0")?.is_file() {
            return Err(io::Error::other("srt refuses such an input beforehand"));
        }
        OpenOptions::new()
            .append(true)
            .open("/proc/self/fd/0")?
            .write_all(b"x")
    }),
    attack(FsWrite, "mount the root writable", |_| calls::remount()),
    attack(FsRead, "read a denied file", |t| {
        fs::read(t.lab.join("hidden/secret")).map(drop)
    }),
    attack(FsRead, "read it by /proc", |t| {
        let path = format!("/proc/{}/root{}/hidden/secret", t.process, t.lab.display());
        fs::read(path).map(drop)
    }),
    attack(Net, "connect to the host's loopback", |t| {
        connect(Ipv4Addr::LOCALHOST, t.port)
    }),
    attack(Net, "connect to an address outside", |_| {
        // TEST-NET-1 (RFC 5737): nobody's.
        connect(Ipv4Addr::new(192, 0, 2, 1), 80)
    }),
    attack(Net, "make a vsock socket", |_| calls::socket(Family::Vsock)),
    attack(Net, "make a packet socket", |_| {
        calls::socket(Family::Packet)
    }),
    attack(Net, "set up io_uring", |_| calls::io_uring()),
    attack(Unix, "make a Unix socket", |_| calls::socket(Family::Unix)),
    attack(Unix, "connect to one of the host", |t| {
        UnixStream::connect(t.lab.join("socket")).map(drop)
    }),
    attack(Proc, "see a process outside", |t| {
        fs::read(format!("/proc/{}/cmdline", t.process)).map(drop)
    }),
    attack(Proc, "trace a process outside", |t| {
        calls::seize(Pid::new(t.process))
    }),
    attack(Proc, "trace the init", |_| calls::seize(Pid::new(1))),
    attack(Proc, "type into the terminal", |_| {
        calls::type_into(&File::open("/dev/null")?)
    }),
    attack(Proc, "make a user namespace", |_| calls::user_namespace()),
];

fn connect(to: Ipv4Addr, port: u16) -> io::Result<()> {
    TcpStream::connect_timeout(&SocketAddr::from((to, port)), ATTACK).map(drop)
}

/// What is said of an attack that was not refused.
pub const THROUGH: &str = "not refused";

/// Tries every attack on `targets` (directory, port, process), and prints a line for each:
/// its name, a tab, and what refused it.
///
/// # Errors
/// The targets are not such, or nobody hears.
pub fn attempt(targets: &[OsString]) -> Result<u8, Error> {
    let bad = || Error::Usage("--stage is for srt's own use".into());
    let [lab, port, process] = targets else {
        return Err(bad());
    };
    let number = |word: &OsString| word.to_str().and_then(|word| word.parse::<i32>().ok());
    let targets = Targets {
        lab: PathBuf::from(lab),
        port: number(port)
            .and_then(|n| u16::try_from(n).ok())
            .ok_or_else(bad)?,
        process: number(process).ok_or_else(bad)?,
    };
    let mut stdout = io::stdout().lock();
    for Attack { name, attempt, .. } in ATTACKS {
        let result = match attempt(&targets) {
            Ok(()) => THROUGH.to_owned(),
            Err(error) => calls::symbol(&error),
        };
        writeln!(stdout, "{name}\t{result}").doing("telling what was refused")?;
    }
    Ok(0)
}
