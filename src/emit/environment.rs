//! The command's environment: the caller's, with what leads programs to the proxy.

use crate::parse::settings::EnvironmentSettings;
use crate::policy::ports::{HTTP_PORT, SOCKS_PORT};

/// Where programs find the proxy.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// Port of the HTTP listener on 127.0.0.1.
    pub http: u16,
    /// Port of the SOCKS listener there.
    pub socks: u16,
    /// `name:password`, where others than the command reach these ports as well.
    pub secret: Option<&'a str>,
    /// What a JVM is told besides.
    pub java: &'a str,
}

/// The listeners in a network namespace of the command's own.
pub const INSIDE: Gate<'static> = Gate {
    http: HTTP_PORT,
    socks: SOCKS_PORT,
    secret: None,
    java: "",
};

/// What a variable is set to.
#[derive(Clone, Copy)]
enum Value {
    /// This.
    Text(&'static str),
    /// The URL of the HTTP listener.
    Http,
    /// The URL of the SOCKS listener, which names are handed to.
    Socks,
    /// The HTTP listener without a scheme.
    Bare,
    /// Its port.
    Port,
}

use Value::{Bare, Http, Port, Socks, Text};

impl Gate<'_> {
    fn value(&self, value: Value) -> String {
        let at = |port: u16| match self.secret {
            Some(secret) => format!("{secret}@127.0.0.1:{port}"),
            None => format!("127.0.0.1:{port}"),
        };
        match value {
            Text(text) => text.to_owned(),
            Http => format!("http://{}", at(self.http)),
            Socks => format!("socks5h://{}", at(self.socks)),
            Bare => at(self.http),
            Port => self.http.to_string(),
        }
    }

    /// The JVM reads no variable but one.
    fn java(&self) -> String {
        let port = self.http;
        format!(
            "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort={port} \
             -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort={port}{}",
            self.java
        )
    }
}

/// Variables that are ours: name, value. The reason stands above each group.
const FIXED: &[(&str, Value)] = &[
    // curl, git, wget and most others. Some read only one of the two spellings; an
    // http URL in ALL_PROXY, since httpx and gRPC fail on a SOCKS one.
    ("HTTP_PROXY", Http),
    ("HTTPS_PROXY", Http),
    ("ALL_PROXY", Http),
    ("GRPC_PROXY", Http),
    ("http_proxy", Http),
    ("https_proxy", Http),
    ("all_proxy", Http),
    ("grpc_proxy", Http),
    // FTP needs a tunnel; the name must reach the proxy, hence socks5h.
    ("FTP_PROXY", Socks),
    ("ftp_proxy", Socks),
    // The sandbox's own loopback needs no proxy. Nothing else is reachable directly.
    ("NO_PROXY", Text("localhost,127.0.0.1,::1")),
    ("no_proxy", Text("localhost,127.0.0.1,::1")),
    // Node's fetch looks at the variables only when told to.
    ("NODE_USE_ENV_PROXY", Text("1")),
    // Docker's and gcloud's clients and rsync have names of their own.
    ("DOCKER_HTTP_PROXY", Http),
    ("DOCKER_HTTPS_PROXY", Http),
    ("RSYNC_PROXY", Bare),
    ("CLOUDSDK_PROXY_TYPE", Text("http")),
    ("CLOUDSDK_PROXY_ADDRESS", Text("127.0.0.1")),
    ("CLOUDSDK_PROXY_PORT", Port),
    // So that a program can know where it is.
    ("SANDBOX_RUNTIME", Text("1")),
];

/// The JVM reads no variable but this one.
const JAVA: &str = "JAVA_TOOL_OPTIONS";

/// Tells git how to reach a server by ssh.
const GIT_SSH: &[u8] = b"GIT_SSH_COMMAND";

/// ssh through the proxy, by `program` in its connect role. No connection is shared with
/// one that was made outside. In ProxyCommand, a `%` stands for itself when doubled, and
/// a shell reads the line (ssh_config(5)).
fn ssh_command(program: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::new();
    for &byte in program {
        match byte {
            b'%' => quoted.extend_from_slice(b"%%"),
            b'\'' | b'"' | b'\\' | b'$' | b'`' | b' ' | b'!' => {
                quoted.extend_from_slice(&[b'\\', byte])
            }
            _ => quoted.push(byte),
        }
    }
    [
        b"ssh -o ControlMaster=no -o ControlPath=none -o ProxyCommand='",
        quoted.as_slice(),
        b" --stage connect %h %p'",
    ]
    .concat()
}

/// The environment of the command: `caller`'s, in its order (of a name that stands
/// there twice, the last value), then ours, without what `rules` denies, and with what
/// they set. `program` is this program, as the command finds it.
pub fn environment(
    caller: &[(Vec<u8>, Vec<u8>)],
    tmpdir: &[u8],
    program: &[u8],
    rules: &EnvironmentSettings,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    environment_by(&INSIDE, caller, tmpdir, program, rules)
}

/// The same, where the proxy is elsewhere.
pub fn environment_by(
    gate: &Gate<'_>,
    caller: &[(Vec<u8>, Vec<u8>)],
    tmpdir: &[u8],
    program: &[u8],
    rules: &EnvironmentSettings,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(caller.len());
    let mut java = Vec::new();
    for (name, value) in caller {
        if name == JAVA.as_bytes() {
            java = [value, &b" "[..]].concat();
        } else if ours(name) {
            // The caller's proxy is not to be reached from inside.
        } else if let Some(known) = all.iter_mut().find(|(n, _)| n == name) {
            known.1.clone_from(value);
        } else {
            all.push((name.clone(), value.clone()));
        }
    }
    all.extend(
        FIXED
            .iter()
            .map(|(n, v)| (n.as_bytes().to_vec(), gate.value(*v).into_bytes())),
    );
    java.extend(gate.java().bytes());
    all.push((JAVA.into(), java));
    let quotable = !program.contains(&b'\'') && !program.contains(&b'\n');
    if quotable && !all.iter().any(|(name, _)| name == GIT_SSH) {
        all.push((GIT_SSH.to_vec(), ssh_command(program)));
    }
    all.push((b"TMPDIR".to_vec(), tmpdir.to_vec()));
    all.push((b"TMPPREFIX".to_vec(), [tmpdir, b"/zsh"].concat()));
    let set = |name: &[u8]| rules.set.iter().any(|(n, _)| n.as_bytes() == name);
    all.retain(|(name, _)| !set(name) && !rules.deny.iter().any(|p| p.matches(name)));
    let given = rules.set.iter();
    all.extend(given.map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())));
    all
}

fn ours(name: &[u8]) -> bool {
    name == b"TMPDIR" || name == b"TMPPREFIX" || FIXED.iter().any(|(n, _)| n.as_bytes() == name)
}
