//! Whether one settings file allows more than another. What cannot be proven to be no
//! more counts as more.

mod files;
mod network;

use crate::parse::settings::{
    EnvironmentSettings, Limits, MacSettings, Processes, Resource, Service, Settings, Switch,
    UserNamespaces,
};

/// Where `new` allows more than `old`, one line each: which file, its key, and what.
/// `home` is the home directory. No file is looked at: symbolic links are taken for
/// what they are called.
pub fn more(old: &Settings, new: &Settings, home: Option<&[u8]>) -> Vec<String> {
    // Every field by name: one that is new is not to be forgotten here.
    let Settings {
        network,
        filesystem,
        environment,
        limits,
        user_namespaces,
        processes,
        require,
        bwrap_path,
        search_depth,
        mac,
        // What is reported decides nothing.
        observed: _,
        ignored: _,
        notes: _,
    } = new;
    let mut found = Found::default();
    network::compare(&old.network, network, home, &mut found);
    files::compare(&old.filesystem, filesystem, home, &mut found);
    variables(&old.environment, environment, &mut found);
    bounds(&old.limits, limits, &mut found);
    if *user_namespaces == UserNamespaces::Allowed && old.user_namespaces != *user_namespaces {
        found.gained("allowNestedUserNamespaces", "is true, and is not in OLD");
    }
    if *processes == Processes::Hosts && old.processes != *processes {
        found.gained("enableWeakerNestedSandbox", "is true, and is not in OLD");
    }
    for (index, gone) in old.require.iter().enumerate() {
        if !require.contains(gone) {
            let key = format!("require[{index}]");
            found.lost(&key, &format!("NEW does not require {gone}"));
        }
    }
    match (&old.bwrap_path, bwrap_path) {
        (old, new) if old == new => {}
        (Some(_), None) => found.lost("bwrapPath", "NEW takes another bubblewrap"),
        (_, Some(_)) => found.gained("bwrapPath", "OLD takes another bubblewrap"),
        (None, None) => {}
    }
    let depths = (old.search_depth.get(), search_depth.get());
    if depths.1 < depths.0 {
        let text = format!("is {}, and {} in OLD", depths.1, depths.0);
        found.gained("mandatoryDenySearchDepth", &text);
    }
    switches(&old.mac, mac, &mut found);
    found.0
}

/// What macOS alone knows.
fn switches(old: &MacSettings, new: &MacSettings, found: &mut Found) {
    let MacSettings {
        terminals,
        services,
        apple_events,
        trust_service,
        local_binding,
    } = new;
    for (key, before, now) in [
        ("allowPty", old.terminals, *terminals),
        ("allowAppleEvents", old.apple_events, *apple_events),
        (
            "enableWeakerNetworkIsolation",
            old.trust_service,
            *trust_service,
        ),
        (
            "network.allowLocalBinding",
            old.local_binding,
            *local_binding,
        ),
    ] {
        if now == Switch::On && before == Switch::Off {
            found.gained(key, "is true, and is not in OLD");
        }
    }
    for service in services {
        if !old.services.iter().any(|other| other.covers(service)) {
            let name = match service {
                Service::Named(name) => name.clone(),
                Service::Beginning(start) => format!("{start}*"),
            };
            found.gained(
                "allowMachLookup",
                &format!("OLD allows not all of {name:?}"),
            );
        }
    }
}

/// The lines so far.
#[derive(Default)]
struct Found(Vec<String>);

impl Found {
    /// Something that NEW has.
    fn gained(&mut self, key: &str, text: &str) {
        self.0.push(format!("NEW: {key}: {text}"));
    }

    /// Something that NEW has not.
    fn lost(&mut self, key: &str, text: &str) {
        self.0.push(format!("OLD: {key}: {text}"));
    }
}

/// Values may be secrets, and are not shown.
fn variables(old: &EnvironmentSettings, new: &EnvironmentSettings, found: &mut Found) {
    let EnvironmentSettings { deny, set } = new;
    for (index, gone) in old.deny.iter().enumerate() {
        if !deny.iter().any(|pattern| pattern.covers(gone)) {
            let key = format!("environment.deny[{index}]");
            found.lost(&key, "NEW does not withhold all that this does");
        }
    }
    for pair in set.iter().filter(|pair| !old.set.contains(pair)) {
        let key = variable(&pair.0);
        found.gained(&key, "is not in OLD, or has another value there");
    }
    for (name, _) in &old.set {
        let known = set.iter().any(|(other, _)| other == name);
        let withheld = deny.iter().any(|pattern| pattern.matches(name.as_bytes()));
        if !known && !withheld {
            found.lost(&variable(name), "NEW lets the caller's value through");
        }
    }
}

/// The key of a variable; its name may hold whatever a string can.
fn variable(name: &str) -> String {
    format!("environment.set.{}", name.escape_debug())
}

fn bounds(old: &Limits, new: &Limits, found: &mut Found) {
    let Limits {
        resources,
        wall_seconds,
    } = new;
    let mut compare = |key: &str, before: u64, now: Option<u64>| match now {
        Some(now) if now <= before => {}
        Some(_) => found.gained(key, "is higher than in OLD"),
        None => found.lost(key, "NEW has no such limit"),
    };
    for (resource, before) in &old.resources {
        let same = resources.iter().filter(|(other, _)| other == resource);
        let key = match resource {
            Resource::Memory => "limits.memoryMiB",
            Resource::Processes => "limits.processes",
            Resource::OpenFiles => "limits.openFiles",
            Resource::FileSize => "limits.fileSizeMiB",
            Resource::CpuTime => "limits.cpuSeconds",
        };
        compare(key, *before, same.map(|(_, now)| *now).min());
    }
    if let Some(before) = old.wall_seconds {
        compare("limits.wallSeconds", before, *wall_seconds);
    }
}
