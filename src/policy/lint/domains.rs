//! Lints of the network section.

use crate::parse::host::{HostPattern, List, Pattern, pattern};
use crate::parse::settings::NetworkSettings;
use crate::policy::relate::{covers, shared};

use super::useless::repeated;

/// Domains in which anybody can have a name.
const SHARED: [&str; 26] = [
    "github.io",
    "githubusercontent.com",
    "gitlab.io",
    "vercel.app",
    "netlify.app",
    "pages.dev",
    "workers.dev",
    "herokuapp.com",
    "s3.amazonaws.com",
    "cloudfront.net",
    "azurewebsites.net",
    "blob.core.windows.net",
    "web.app",
    "firebaseapp.com",
    "appspot.com",
    "run.app",
    "ngrok.io",
    "ngrok.app",
    "ngrok-free.app",
    "trycloudflare.com",
    "onrender.com",
    "fly.dev",
    "repl.co",
    "glitch.me",
    "surge.sh",
    "r2.dev",
];

/// Wildcards over domains in which anybody can have a name.
pub(super) fn shared_hosting(allowed: &[Pattern]) -> Vec<String> {
    let mut found = Vec::new();
    for (index, rule) in allowed.iter().enumerate() {
        let HostPattern::Below(_) = rule.host else {
            continue;
        };
        let whole = Pattern {
            port: None,
            ..rule.clone()
        };
        let open = |domain: &&&str| {
            pattern(&format!("*.{domain}"), List::Allow).is_ok_and(|all| covers(&whole, &all))
        };
        if let Some(domain) = SHARED.iter().find(open) {
            found.push(format!(
                "network.allowedDomains[{index}]: \"{rule}\" has names that anybody can register \
                 ({domain}), to take what is sent there: name the hosts"
            ));
        }
    }
    found
}

/// Rules without effect.
pub(super) fn useless(network: &NetworkSettings) -> Vec<String> {
    let (allowed, denied) = (&network.allowed, &network.denied);
    let mut found = Vec::new();
    for (index, rule) in allowed.iter().enumerate() {
        let by = |denial: &&Pattern| covers(denial, rule);
        if let Some(denial) = denied.iter().find(by) {
            found.push(format!(
                "network.allowedDomains[{index}]: \"{rule}\" allows nothing, for deniedDomains has \
                 \"{denial}\": remove one of them"
            ));
        }
    }
    let mut lists = |key: &str, list: &[Pattern]| {
        let key = format!("network.{key}");
        found.extend(repeated(&key, list, covers, |p| format!("\"{p}\"")));
    };
    lists("allowedDomains", allowed);
    lists("deniedDomains", denied);
    if let Some(mitm) = &network.mitm {
        lists("mitmProxy.domains", &mitm.domains);
    }
    let ranges = &network.denied_addresses;
    let key = "network.deniedResolvedAddresses";
    found.extend(repeated(key, ranges, |a, b| a.covers(b), |_| "this".into()));
    found.extend(reasons(network));
    found
}

/// Reasons that nobody is ever given: for what is not denied, or behind another one.
fn reasons(network: &NetworkSettings) -> Vec<String> {
    let mut found = Vec::new();
    for (index, (about, _)) in network.deny_reasons.iter().enumerate() {
        let denied = network.denied.iter().any(|d| shared(d, about).is_some());
        let allowed = network.allowed.iter().find(|rule| covers(rule, about));
        let mut before = network.deny_reasons.iter().take(index);
        let first = before.find(|(other, _)| covers(other, about));
        let why = match (allowed, first) {
            (Some(rule), _) if !denied => {
                format!("all of it is allowed (allowedDomains has \"{rule}\")")
            }
            (_, Some((other, _))) => format!("that of \"{other}\" stands before it"),
            _ => continue,
        };
        found.push(format!(
            "network.deniedDomainReasons.{about}: is never given, for {why}: remove it"
        ));
    }
    found
}
