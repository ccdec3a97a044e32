//! The roles that `srt` plays for itself.

use std::ffi::OsString;

use lexopt::ValueExt;

/// A role that `srt` plays for itself, chosen by the hidden option `--stage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Pid 1 of the sandbox; the numbers are inherited descriptors.
    Inner {
        /// Socket to the supervisor.
        socket: i32,
        /// Memory file that holds what to launch.
        launch: i32,
        /// The command's standard error.
        stderr: i32,
        /// Which run it belongs to; for others to see.
        run: OsString,
    },
    /// Answers name lookups on standard input.
    Lookup,
    /// Ends the command when `srt` has been killed.
    Warden,
    /// Connects standard input and output to a host, through the proxy.
    Connect {
        /// The host.
        host: OsString,
        /// The port.
        port: OsString,
    },
    /// Attacks the sandbox it runs in, for `--doctor`.
    Attack {
        /// What there is to attack.
        targets: Vec<OsString>,
    },
    /// Hears of calls inside; the numbers are inherited descriptors.
    Observe {
        /// Socket to the supervisor.
        socket: i32,
        /// Memory file that holds what it sees by.
        policy: i32,
        /// Memory file for what it must not leave unanswered.
        notes: i32,
        /// bubblewrap's process.
        bubblewrap: i32,
    },
    /// Sets capture up; the number is an inherited descriptor.
    Capture {
        /// Socket to the supervisor.
        socket: i32,
        /// What bubblewrap says of its sandbox.
        info: i32,
    },
    /// Guards the sandbox's mounts; the numbers are inherited descriptors.
    Guard {
        /// The sandbox's mount namespace.
        mounts: i32,
        /// Memory file that says which symbolic links are pinned.
        links: i32,
        /// Memory file that says what is watched.
        places: i32,
    },
}

/// Reads which.
///
/// # Errors
/// It is none.
pub(super) fn stage(parser: &mut lexopt::Parser) -> Result<Stage, String> {
    let bad = |_| String::from("--stage is for srt's own use");
    let role = parser.value().map_err(bad)?;
    let mut number = || -> Result<i32, String> {
        let fd: i32 = parser.value().and_then(|v| v.parse()).map_err(bad)?;
        if fd < 3 {
            return Err("--stage is for srt's own use".into());
        }
        Ok(fd)
    };
    match role.to_str() {
        Some("inner") => Ok(Stage::Inner {
            socket: number()?,
            launch: number()?,
            stderr: number()?,
            run: parser.value().map_err(bad)?,
        }),
        Some("lookup") => Ok(Stage::Lookup),
        Some("warden") => Ok(Stage::Warden),
        Some("connect") => Ok(Stage::Connect {
            host: parser.value().map_err(bad)?,
            port: parser.value().map_err(bad)?,
        }),
        Some("attack") => Ok(Stage::Attack {
            targets: parser.raw_args().map_err(bad)?.collect(),
        }),
        Some("observe") => Ok(Stage::Observe {
            socket: number()?,
            policy: number()?,
            notes: number()?,
            bubblewrap: number()?,
        }),
        Some("capture") => Ok(Stage::Capture {
            socket: number()?,
            info: number()?,
        }),
        Some("guard") => Ok(Stage::Guard {
            mounts: number()?,
            links: number()?,
            places: number()?,
        }),
        _ => Err("--stage is for srt's own use".into()),
    }
}
