//! The example settings of the other programs.

use super::File::{self, Refused, Taken};

/// The settings that their documents give as examples: where they stand, and what is said
/// here.
pub const EXAMPLES: &[(&str, &str, &str, File)] = &[
    (
        "TypeScript, README, Sandboxing MCP Servers",
        r#"{
  "filesystem": {
    "denyRead": [],
    "allowWrite": ["."],
    "denyWrite": ["~/sensitive-folder"]
  },
  "network": {
    "allowedDomains": [],
    "deniedDomains": []
  }
}"#,
        "",
        Taken,
    ),
    (
        "TypeScript, README, Complete Configuration Example",
        r#"{
  "network": {
    "allowedDomains": [
      "github.com",
      "*.github.com",
      "lfs.github.com",
      "api.github.com",
      "npmjs.org",
      "*.npmjs.org"
    ],
    "deniedDomains": ["malicious.com"],
    "allowUnixSockets": ["/var/run/docker.sock"],
    "allowLocalBinding": false
  },
  "filesystem": {
    "denyRead": ["~/.ssh"],
    "allowRead": [],
    "allowWrite": [".", "src/", "test/", "/tmp"],
    "denyWrite": [".env", "config/production.json"]
  },
  "ignoreViolations": {
    "*": ["/usr/bin", "/System"],
    "git push": ["/usr/bin/nc"],
    "npm": ["/private/tmp"]
  },
  "enableWeakerNestedSandbox": false,
  "allowNestedUserNamespaces": false,
  "enableWeakerNetworkIsolation": false,
  "allowAppleEvents": false
}"#,
        "enableWeakerNetworkIsolation: has an effect on macOS only\n\
         allowAppleEvents: has an effect on macOS only\n\
         network.allowedDomains[2]: \"lfs.github.com\" adds nothing to \"*.github.com\" in [1]: remove one of them\n\
         network.allowedDomains[3]: \"api.github.com\" adds nothing to \"*.github.com\" in [1]: remove one of them\n\
         network.allowUnixSockets[0]: \"/var/run/docker.sock\" takes a container engine's commands, and whoever gives \
         them is root on the host: take it out\n",
        Taken,
    ),
    (
        "TypeScript, README, TLS termination",
        r#"{
  "network": {
    "allowedDomains": ["*.example.com", "internal-mtls.example.net"],
    "deniedDomains": [],
    "tlsTerminate": {
      "excludeDomains": ["internal-mtls.example.net"],
      "extraCaCertPaths": ["/etc/internal-mtls-roots.pem"]
    }
  }
}"#,
        "line 5, column 5: network.tlsTerminate: not served here: srt does not open TLS: remove it, or name a program \
         that does in network.mitmProxy\n",
        Refused,
    ),
    (
        "TypeScript, README, Allow GitHub access",
        r#"{
  "network": {
    "allowedDomains": [
      "github.com",
      "*.github.com",
      "lfs.github.com",
      "api.github.com"
    ],
    "deniedDomains": []
  },
  "filesystem": {
    "denyRead": [],
    "allowWrite": ["."],
    "denyWrite": []
  }
}"#,
        "network.allowedDomains[2]: \"lfs.github.com\" adds nothing to \"*.github.com\" in [1]: remove one of them\n\
         network.allowedDomains[3]: \"api.github.com\" adds nothing to \"*.github.com\" in [1]: remove one of them\n",
        Taken,
    ),
    (
        "TypeScript, README, Restrict to specific directories",
        r#"{
  "network": {
    "allowedDomains": [],
    "deniedDomains": []
  },
  "filesystem": {
    "denyRead": ["~/.ssh"],
    "allowWrite": [".", "src/", "test/"],
    "denyWrite": [".env", "secrets/"]
  }
}"#,
        "",
        Taken,
    ),
    (
        "TypeScript, README, Workspace-only read access",
        r#"{
  "network": {
    "allowedDomains": [],
    "deniedDomains": []
  },
  "filesystem": {
    "denyRead": ["/Users"],
    "allowRead": ["."],
    "allowWrite": ["."],
    "denyWrite": []
  }
}"#,
        "",
        Taken,
    ),
    (
        "TypeScript, README, Local servers on Windows",
        r#"{ "network": { "allowLocalBinding": true } }"#,
        "",
        Taken,
    ),
    (
        "TypeScript, README, Linux search depth",
        r#"{
  "mandatoryDenySearchDepth": 5,
  "filesystem": {
    "allowWrite": ["."]
  }
}"#,
        "",
        Taken,
    ),
    (
        "port, README, Full Configuration Schema",
        r#"{
  "network": {
    "allowedDomains": ["github.com", "*.npmjs.org"],
    "deniedDomains": ["evil.com"],
    "allowUnixSockets": ["/var/run/docker.sock"],
    "allowAllUnixSockets": false,
    "allowLocalBinding": true,
    "httpProxyPort": 3128,
    "socksProxyPort": 1080,
    "mitmProxy": {
      "socketPath": "/tmp/mitm.sock",
      "domains": ["api.example.com"]
    }
  },
  "filesystem": {
    "denyRead": ["/etc/shadow", "/private/var/root"],
    "allowWrite": ["/tmp", "./build", "./node_modules"],
    "denyWrite": ["/tmp/secret"],
    "allowGitConfig": false
  },
  "ignoreViolations": {
    "git": ["file-read-data.*\\.git"]
  },
  "enableWeakerNestedSandbox": false,
  "ripgrep": {
    "command": "rg",
    "args": ["--hidden"]
  },
  "mandatoryDenySearchDepth": 3,
  "allowPty": false,
  "seccomp": {
    "bpfPath": "/path/to/filter.bpf",
    "applyPath": "/path/to/apply-seccomp"
  }
}"#,
        "line 32, column 5: seccomp.bpfPath: not served here: srt makes its filter itself, and takes no other: remove \
         it (--dry-run prints srt's own)\n",
        Refused,
    ),
    (
        "port, README, Development Environment",
        r#"{
  "network": {
    "allowedDomains": [
      "github.com",
      "*.github.com",
      "*.npmjs.org",
      "registry.yarnpkg.com",
      "pypi.org",
      "*.pypi.org"
    ],
    "allowLocalBinding": true
  },
  "filesystem": {
    "allowWrite": [
      "./",
      "/tmp"
    ]
  }
}"#,
        "",
        Taken,
    ),
    (
        "port, README, Restrictive Production",
        r#"{
  "network": {
    "allowedDomains": ["api.myservice.com"],
    "deniedDomains": ["*.internal.myservice.com"]
  },
  "filesystem": {
    "denyRead": ["/etc/passwd", "/etc/shadow"],
    "allowWrite": ["/var/log/myapp"]
  }
}"#,
        "",
        Taken,
    ),
    (
        "port, loader.rs, test_parse_full_config",
        r#"{
            "network": {
                "allowedDomains": ["github.com", "*.npmjs.org"],
                "deniedDomains": ["evil.com"],
                "allowLocalBinding": true,
                "mitmProxy": {
                    "socketPath": "/tmp/mitm.sock",
                    "domains": ["api.example.com"]
                }
            },
            "filesystem": {
                "denyRead": ["/etc/passwd"],
                "allowWrite": ["/tmp"],
                "denyWrite": ["/tmp/secret"],
                "allowGitConfig": false
            },
            "mandatoryDenySearchDepth": 5,
            "allowPty": true
        }"#,
        "allowPty: has an effect on macOS only\n",
        Taken,
    ),
    (
        "port, loader.rs, test_parse_minimal_config",
        "{}",
        "",
        Taken,
    ),
    (
        "port, loader.rs, test_invalid_domain_pattern",
        r#"{
            "network": {
                "allowedDomains": ["*.com"]
            }
        }"#,
        "line 3, column 36: network.allowedDomains[0]: \"*.com\": is too broad: a wildcard is *. followed by a name of \
         two or more labels\n",
        Refused,
    ),
];
