//! The command's environment: the caller's, with what leads programs to the proxy.

use crate::parse::settings::EnvironmentSettings;

const HTTP: &str = "http://127.0.0.1:3128";

/// Variables set to a fixed value: name, value. The reason stands above each group.
const FIXED: &[(&str, &str)] = &[
    // curl, git, wget and most others. Some read only one of the two spellings; an
    // http URL in ALL_PROXY, since httpx and gRPC fail on a SOCKS one.
    ("HTTP_PROXY", HTTP),
    ("HTTPS_PROXY", HTTP),
    ("ALL_PROXY", HTTP),
    ("GRPC_PROXY", HTTP),
    ("http_proxy", HTTP),
    ("https_proxy", HTTP),
    ("all_proxy", HTTP),
    ("grpc_proxy", HTTP),
    // FTP needs a tunnel; the name must reach the proxy, hence socks5h.
    ("FTP_PROXY", "socks5h://127.0.0.1:1080"),
    ("ftp_proxy", "socks5h://127.0.0.1:1080"),
    // The sandbox's own loopback needs no proxy. Nothing else is reachable directly.
    ("NO_PROXY", "localhost,127.0.0.1,::1"),
    ("no_proxy", "localhost,127.0.0.1,::1"),
    // Node's fetch looks at the variables only when told to.
    ("NODE_USE_ENV_PROXY", "1"),
    // Docker's and gcloud's clients and rsync have names of their own.
    ("DOCKER_HTTP_PROXY", HTTP),
    ("DOCKER_HTTPS_PROXY", HTTP),
    ("RSYNC_PROXY", "127.0.0.1:3128"),
    ("CLOUDSDK_PROXY_TYPE", "http"),
    ("CLOUDSDK_PROXY_ADDRESS", "127.0.0.1"),
    ("CLOUDSDK_PROXY_PORT", "3128"),
    // So that a program can know where it is.
    ("SANDBOX_RUNTIME", "1"),
];

/// The JVM reads no variable but this one.
const JAVA: &str = "JAVA_TOOL_OPTIONS";
const JAVA_OPTIONS: &str = "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=3128 \
     -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=3128";

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
            .map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())),
    );
    java.extend(JAVA_OPTIONS.bytes());
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
