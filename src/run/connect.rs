//! The connect role, inside the sandbox: joins standard input and output with a tunnel
//! through the proxy, for programs like ssh that take a command for that.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::os::fd::AsFd;

use crate::limits::{HEAD_BYTES, RELAY_BYTES};
use crate::parse::Status;
use crate::parse::host::Host;
use crate::parse::proxy_url::{ProxyUrl, proxy_url};
use crate::parse::response::response_head;
use crate::policy::ports::HTTP_PORT;
use crate::proxy::forward;
use crate::sys::fd::{Readable, wait_either};

/// Connects, and relays until the other side has ended.
///
/// # Errors
/// The proxy refuses, with its reason; or something breaks.
pub fn serve(host: &OsStr, port: &OsStr) -> io::Result<()> {
    let plain = |text: &OsStr| {
        let text = text
            .to_str()
            .filter(|t| t.bytes().all(|b| b.is_ascii_graphic()));
        text.map(str::to_owned)
            .ok_or_else(|| io::Error::other("the host or the port is not plain ASCII"))
    };
    let (host, port) = (plain(host)?, plain(port)?);
    let target = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let (port, authorization) = gate();
    let mut proxy = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    proxy.write_all(&forward::connect(&target, authorization.as_deref()))?;
    let early = answer(&mut proxy)?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&early)?;
    stdout.flush()?;
    relay(&mut proxy, &mut stdout)
}

/// The proxy's port, and the credentials it wants: as the environment has them, if they
/// are of this host's loopback.
fn gate() -> (u16, Option<String>) {
    let url = env::var("HTTP_PROXY").ok();
    let url = url.and_then(|url| proxy_url(&url).ok());
    let ours = |url: &ProxyUrl| url.target.host == Host::Address(Ipv4Addr::LOCALHOST.into());
    match url.filter(ours) {
        Some(url) => (url.target.port, url.authorization),
        None => (HTTP_PORT, None),
    }
}

/// Reads the proxy's answer; what came behind it is the other side's.
fn answer(proxy: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        let (code, used) = match response_head(&said) {
            Ok(Status::Complete { value, used }) => (value.code, used),
            Ok(Status::Partial) => (0, 0),
            Err(error) => return Err(io::Error::other(error.to_string())),
        };
        match code {
            0 => {}
            200 => return Ok(said.split_off(used)),
            _ => {
                let mut why = said.split_off(used);
                proxy.take(HEAD_BYTES as u64).read_to_end(&mut why)?;
                let why = String::from_utf8_lossy(&why).trim().to_owned();
                return Err(io::Error::other(why));
            }
        }
        match proxy.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => said.extend_from_slice(&buffer[..n]),
        }
    }
}

fn relay(proxy: &mut TcpStream, stdout: &mut impl Write) -> io::Result<()> {
    let mut stdin = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut buffer = vec![0u8; RELAY_BYTES];
    let mut open = true;
    loop {
        let (from_stdin, from_proxy) = if open {
            let ready = wait_either(stdin.as_fd(), Some(proxy.as_fd()), None)?;
            ready.map(|one| one != Readable::No).into()
        } else {
            (false, true)
        };
        if from_stdin {
            match stdin.read(&mut buffer)? {
                0 => {
                    proxy.shutdown(Shutdown::Write)?;
                    open = false;
                }
                n => proxy.write_all(&buffer[..n])?,
            }
        }
        if from_proxy {
            match proxy.read(&mut buffer)? {
                0 => return Ok(()),
                n => {
                    stdout.write_all(&buffer[..n])?;
                    stdout.flush()?;
                }
            }
        }
    }
}
