//! The last steps before the command may start, with all mounts made.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};

use super::launch::Launch;
use super::pin;
use super::recheck::{self, Check};
use crate::error::{Error, While};
use crate::policy::ports::Ports;
use crate::proxy::conversation::Hop;
use crate::reactor::{Reactor, Service};
use crate::sys;
use crate::sys::process::Orphaned;

/// What there is to do.
pub struct Ready<'a> {
    launch: &'a Launch,
    pins: &'a [Check],
    ports: &'a Ports,
    /// Sockets on the host's loopback, by the sandbox's port they stand for.
    published: Vec<(u16, OwnedFd)>,
}

/// Listens on the host's loopback for the ports that are to be published.
///
/// # Errors
/// One of them is taken.
pub fn publish(ports: &Ports) -> Result<Vec<(u16, OwnedFd)>, Error> {
    let listen = |port: &u16| match TcpListener::bind((Ipv4Addr::LOCALHOST, *port)) {
        Ok(listener) => Ok((*port, OwnedFd::from(listener))),
        Err(e) => Err(Error::Policy(vec![format!(
            "network.publishPorts: port {port} of the host's 127.0.0.1: {e}"
        )])),
    };
    ports.published.iter().map(listen).collect()
}

impl<'a> Ready<'a> {
    /// For this launch.
    pub fn new(
        launch: &'a Launch,
        pins: &'a [Check],
        ports: &'a Ports,
        published: Vec<(u16, OwnedFd)>,
    ) -> Self {
        Self {
            launch,
            pins,
            ports,
            published,
        }
    }

    /// Makes everything ready: the mounts are where they were meant to be, no symbolic
    /// link can be replaced, and the loop listens on the sockets that were `passed`, of
    /// which the last is the mount namespace.
    ///
    /// # Errors
    /// The command must not start.
    pub fn make(&mut self, mut passed: Vec<OwnedFd>, reactor: &mut Reactor) -> Result<(), Error> {
        let lost = || Error::Stage("the sandbox's sockets did not arrive".into());
        let mounts = passed.pop().ok_or_else(lost)?;
        if passed.len() != 2 + self.ports.host.len() {
            return Err(lost());
        }
        recheck::outside(&self.launch.checks).map_err(|text| Error::Policy(vec![text]))?;
        if !self.pins.is_empty() {
            self.pin(&mounts)?;
        }
        let proxy = |external: Option<u16>| match external {
            Some(port) => Service::Forward(Hop::Loopback(port)),
            None => Service::Proxy,
        };
        let own = [self.ports.external_http, self.ports.external_socks].map(proxy);
        let host = self.ports.host.iter();
        let host = host.map(|port| Service::Forward(Hop::Loopback(*port)));
        let inside = passed.into_iter().zip(own.into_iter().chain(host));
        let published = self.published.drain(..);
        let published = published.map(|(port, fd)| (fd, Service::Forward(Hop::Inside(port))));
        for (listener, service) in inside.chain(published) {
            reactor
                .listen(listener, service)
                .doing("taking the sandbox's listeners")?;
        }
        Ok(())
    }

    fn pin(&self, mounts: &OwnedFd) -> Result<(), Error> {
        const DOING: &str = "holding symbolic links in place";
        let number = |fd: &OwnedFd| fd.as_raw_fd().to_string();
        let request = pin::request(self.pins).doing(DOING)?;
        let mut helper = Command::new("/proc/self/exe");
        helper
            .args(["--stage", "pin", &number(mounts), &number(&request)])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let kept = vec![mounts.as_raw_fd(), request.as_raw_fd()];
        sys::process::confine_spawn(&mut helper, kept, Orphaned::Killed);
        let said: io::Result<_> = helper.output();
        let said = said.doing(DOING)?;
        if said.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&said.stderr);
        let words = words.trim().trim_start_matches("srt: ");
        Err(Error::Stage(words.to_owned()))
    }
}
