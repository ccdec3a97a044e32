//! Every key of the settings of the other programs.

/// What a key of theirs is here.
#[derive(Clone, Copy)]
pub enum Here {
    /// Accepted, and obeyed.
    Works,
    /// Accepted, and obeyed on macOS.
    MacOs,
    /// Accepted, and not needed.
    Unneeded,
    /// Refused; a part of what is said.
    No(&'static str),
}

/// Whose key it is.
pub const BOTH: &str = "both";
pub const TYPESCRIPT: &str = "TypeScript";
pub const PORT: &str = "port";

use Here::{MacOs, No, Unneeded, Works};

const TLS: &str =
    "srt does not open TLS: remove it, or name a program that does in network.mitmProxy";
const REQUESTS: &str = "srt judges hosts and ports, not what a request says: remove it";
const MASKS: &str = "srt puts nothing in the place of a secret: remove it";

/// Every key of their schemas (zod's in sandbox-config.ts, serde's in schema.rs): with a
/// value that they take and that asks for something, and what that is here.
pub const KEYS: &[(&str, &str, &str, Here)] = &[
    (
        "network.allowedDomains",
        BOTH,
        r#"["a.example.com"]"#,
        Works,
    ),
    ("network.deniedDomains", BOTH, r#"["a.example.com"]"#, Works),
    (
        "network.deniedDomainReasons",
        TYPESCRIPT,
        r#"{"a.example.com": "no"}"#,
        Works,
    ),
    (
        "network.deniedResolvedAddresses",
        TYPESCRIPT,
        r#"["10.0.0.0/8"]"#,
        Works,
    ),
    ("network.strictAllowlist", TYPESCRIPT, "true", Works),
    (
        "network.allowUnixSockets",
        BOTH,
        r#"["/run/x.sock"]"#,
        Works,
    ),
    ("network.allowAllUnixSockets", BOTH, "false", Works),
    ("network.allowLocalBinding", BOTH, "true", Works),
    (
        "network.allowMachLookup",
        TYPESCRIPT,
        r#"["com.example.*"]"#,
        MacOs,
    ),
    ("network.httpProxyPort", BOTH, "3129", Works),
    ("network.socksProxyPort", BOTH, "1081", Works),
    (
        "network.mitmProxy",
        BOTH,
        r#"{"socketPath": "/run/m", "domains": ["a.example.com"]}"#,
        Works,
    ),
    (
        "network.mitmProxy.socketPath",
        BOTH,
        r#""m.sock""#,
        No("must be an absolute path"),
    ),
    (
        "network.mitmProxy.domains",
        BOTH,
        "[]",
        No("needs both socketPath and domains"),
    ),
    (
        "network.parentProxy",
        TYPESCRIPT,
        r#"{"http": "http://p.example.com:1"}"#,
        Works,
    ),
    (
        "network.parentProxy.http",
        TYPESCRIPT,
        r#""http://p.example.com:1""#,
        Works,
    ),
    (
        "network.parentProxy.https",
        TYPESCRIPT,
        r#""https://p.example.com:1""#,
        No("name one by http://"),
    ),
    (
        "network.parentProxy.noProxy",
        TYPESCRIPT,
        r#""localhost,.example.com,10.0.0.0/8""#,
        Works,
    ),
    ("network.tlsTerminate", TYPESCRIPT, "{}", No(TLS)),
    (
        "network.tlsTerminate.caCertPath",
        TYPESCRIPT,
        r#""/ca.pem""#,
        No(TLS),
    ),
    (
        "network.tlsTerminate.caKeyPath",
        TYPESCRIPT,
        r#""/ca.key""#,
        No(TLS),
    ),
    (
        "network.tlsTerminate.excludeDomains",
        TYPESCRIPT,
        r#"["a.example.com"]"#,
        No(TLS),
    ),
    (
        "network.tlsTerminate.extraCaCertPaths",
        TYPESCRIPT,
        r#"["/ca.pem"]"#,
        No(TLS),
    ),
    ("network.tlsTerminate.maxTunnels", TYPESCRIPT, "9", No(TLS)),
    (
        "network.tlsTerminate.handshakeTimeoutMs",
        TYPESCRIPT,
        "100",
        No(TLS),
    ),
    ("network.filterRequest", TYPESCRIPT, "null", No(REQUESTS)),
    (
        "network.allowPlaintextHeaderSet",
        TYPESCRIPT,
        "true",
        No(REQUESTS),
    ),
    (
        "network.stripResponseHeaders",
        TYPESCRIPT,
        r#"["set-cookie"]"#,
        No(REQUESTS),
    ),
    ("network.refuseOpaqueTunnels", TYPESCRIPT, "true", No(TLS)),
    (
        "network.requireHostMatch",
        TYPESCRIPT,
        "true",
        No(r#"write "requireServerName": true instead"#),
    ),
    (
        "network.ambiguousRequestTarget",
        TYPESCRIPT,
        r#""refuse""#,
        No(REQUESTS),
    ),
    (
        "filesystem.disabled",
        TYPESCRIPT,
        "true",
        No("name what is to be written in filesystem.allowWrite"),
    ),
    ("filesystem.denyRead", BOTH, r#"["/srv/x"]"#, Works),
    ("filesystem.allowRead", TYPESCRIPT, r#"["/srv/x"]"#, Works),
    ("filesystem.allowWrite", BOTH, r#"["/srv/x"]"#, Works),
    (
        "filesystem.denyWrite",
        BOTH,
        r#"[{"path": "/srv/[x]", "literal": true}]"#,
        Works,
    ),
    ("filesystem.allowGitConfig", BOTH, "true", Works),
    ("credentials", TYPESCRIPT, "{}", Works),
    (
        "credentials.files",
        TYPESCRIPT,
        r#"[{"path": "~/.netrc", "mode": "deny"}]"#,
        No(r#"write "~/.netrc" in filesystem.denyRead instead"#),
    ),
    (
        "credentials.envVars",
        TYPESCRIPT,
        r#"[{"name": "TOKEN", "mode": "mask"}]"#,
        No(r#"write "TOKEN" in environment.deny instead"#),
    ),
    (
        "credentials.allowPlaintextInject",
        TYPESCRIPT,
        "true",
        No(MASKS),
    ),
    (
        "credentials.awsPairs",
        TYPESCRIPT,
        r#"[{"accessKeyIdVar": "A", "secretAccessKeyVar": "B"}]"#,
        No(MASKS),
    ),
    ("credentials.sigv4", TYPESCRIPT, "{}", No(MASKS)),
    ("ignoreViolations", BOTH, r#"{"*": ["/usr/bin"]}"#, Works),
    ("enableWeakerNestedSandbox", BOTH, "true", Works),
    ("allowNestedUserNamespaces", TYPESCRIPT, "true", Works),
    ("enableWeakerNetworkIsolation", TYPESCRIPT, "true", MacOs),
    ("allowAppleEvents", TYPESCRIPT, "true", MacOs),
    ("ripgrep.command", BOTH, r#""rg""#, Unneeded),
    ("ripgrep.args", BOTH, r#"["--hidden"]"#, Unneeded),
    ("ripgrep.argv0", TYPESCRIPT, r#""rg""#, Unneeded),
    ("mandatoryDenySearchDepth", BOTH, "5", Works),
    ("allowPty", BOTH, "true", MacOs),
    ("seccomp.applyPath", BOTH, r#""/apply-seccomp""#, Unneeded),
    ("seccomp.argv0", TYPESCRIPT, r#""apply-seccomp""#, Unneeded),
    (
        "seccomp.bpfPath",
        PORT,
        r#""/filter.bpf""#,
        No("takes no other: remove it"),
    ),
    ("bwrapPath", TYPESCRIPT, r#""/usr/bin/bwrap""#, Works),
    (
        "socatPath",
        TYPESCRIPT,
        r#""/usr/bin/socat""#,
        No("srt uses no socat: remove it"),
    ),
    ("javaAgentJarPath", TYPESCRIPT, r#""/agent.jar""#, Unneeded),
    (
        "windows",
        TYPESCRIPT,
        r#"{"backend": "mxc"}"#,
        No("there is no version for Windows: remove it"),
    ),
    (
        "git.safeDirectories",
        TYPESCRIPT,
        r#"["/srv/x"]"#,
        No("in environment.set instead"),
    ),
];
