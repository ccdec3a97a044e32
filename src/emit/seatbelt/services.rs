//! What every program needs of the system, whatever it does; and terminals.

use super::text::Action::{Allow, Deny};
use super::text::{Filter, Profile, literal};
use crate::parse::settings::{MacSettings, Service, Switch};

/// Mach services without `com.apple.`, which none of them stands without: sound, fonts,
/// the system's log and notifications, who is who, the keychain's own checks.
const SERVICES: &[&str] = &[
    "audio.systemsoundserver",
    "distributed_notifications@Uv3",
    "FontObjectsServer",
    "fonts",
    "logd",
    "lsd.mapdb",
    "PowerManagement.control",
    "system.logger",
    "system.notification_center",
    "system.opendirectoryd.libinfo",
    "system.opendirectoryd.membership",
    "bsd.dirhelper",
    "securityd.xpc",
    "coreservices.launchservicesd",
    "SecurityServer",
];

/// Those that Apple events go through.
const EVENTS: &[&str] = &[
    "coreservices.appleevents",
    "CoreServices.coreservicesd",
    "coreservices.quarantine-resolver",
];

/// What may be read of the machine, below `hw.`.
const HARDWARE: &[&str] = &[
    "activecpu",
    "busfrequency_compat",
    "byteorder",
    "cacheconfig",
    "cachelinesize_compat",
    "cpufamily",
    "cpufrequency",
    "cpufrequency_compat",
    "cputype",
    "l1dcachesize_compat",
    "l1icachesize_compat",
    "l2cachesize_compat",
    "l3cachesize_compat",
    "logicalcpu",
    "logicalcpu_max",
    "machine",
    "memsize",
    "ncpu",
    "nperflevels",
    "packages",
    "pagesize",
    "pagesize_compat",
    "physicalcpu",
    "physicalcpu_max",
    "tbfrequency_compat",
    "vectorunit",
];

/// What may be read of the kernel, below `kern.`.
const KERNEL: &[&str] = &[
    "argmax",
    "bootargs",
    "hostname",
    "maxfiles",
    "maxfilesperproc",
    "maxproc",
    "ngroups",
    "osproductversion",
    "osrelease",
    "ostype",
    "osvariant_status",
    "osversion",
    "secure_kernel",
    "tcsm_available",
    "tcsm_enable",
    "usrstack64",
    "version",
    "willshutdown",
];

/// Further names.
const OTHERS: &[&str] = &[
    "machdep.cpu.brand_string",
    "machdep.ptrauth_enabled",
    "security.mac.lockdown_mode_state",
    "sysctl.proc_cputype",
    "vm.loadavg",
];

/// And what names may begin with.
const BEGINNINGS: &[&str] = &[
    "hw.optional.arm",
    "hw.optional.arm.",
    "hw.optional.armv8_",
    "hw.perflevel",
    "kern.proc.all",
    "kern.proc.pgrp.",
    "kern.proc.pid.",
    "machdep.cpu.",
    "net.routetable.",
];

/// Devices that programs ask for their state.
const DEVICES: &[&str] = &["null", "zero", "random", "urandom", "dtracehelper", "tty"];

/// A filter that takes a name of ours.
fn named(filter: &str, prefix: &str, names: &[&str]) -> Vec<Filter> {
    let one = |name: &&str| Filter::Plain(format!("({filter} \"{prefix}{name}\")"));
    names.iter().map(one).collect()
}

/// The first rule of all, and processes.
pub fn start(profile: &mut Profile, tag: &str) {
    profile.group(
        "start",
        "what no rule allows is refused, and logged under the run's tag",
    );
    match literal(tag.as_bytes(), "the run's tag") {
        Ok(tag) => profile.rule(
            Deny,
            "default",
            &[Filter::Plain(format!("(with message {tag})"))],
        ),
        Err(problem) => profile.problem(problem),
    }
    profile.group(
        "processes",
        "programs are started, and deal with those of the same sandbox only",
    );
    profile.whole(Allow, "process-exec");
    profile.whole(Allow, "process-fork");
    let same = [Filter::Plain("(target same-sandbox)".into())];
    for operation in ["process-info*", "signal", "mach-priv-task-port"] {
        profile.rule(Allow, operation, &same);
    }
    profile.whole(Allow, "user-preference-read");
}

/// Services of other programs.
pub fn mach(profile: &mut Profile, settings: &MacSettings) {
    profile.group("services", "the system's, which every program may need");
    profile.rule(
        Allow,
        "mach-lookup",
        &named("global-name", "com.apple.", SERVICES),
    );
    if settings.trust_service == Switch::On {
        profile.group(
            "trust service",
            "enableWeakerNetworkIsolation; it judges certificates, and fetches what they name: a way out",
        );
        profile.rule(
            Allow,
            "mach-lookup",
            &named("global-name", "com.apple.", &["trustd.agent"]),
        );
    }
    if settings.apple_events == Switch::On {
        profile.group(
            "Apple events",
            "allowAppleEvents; this gives the confinement up: what is opened or told runs outside",
        );
        profile.whole(Allow, "appleevent-send");
        profile.whole(Allow, "lsopen");
        profile.rule(
            Allow,
            "mach-lookup",
            &named("global-name", "com.apple.", EVENTS),
        );
    }
    let listed = |service: &Service| {
        let (filter, name) = match service {
            Service::Named(name) => ("global-name", name),
            Service::Beginning(start) => ("global-name-prefix", start),
        };
        Filter::Named(filter, name.clone(), "allowMachLookup")
    };
    profile.group("listed services", "allowMachLookup");
    let all: Vec<Filter> = settings.services.iter().map(listed).collect();
    profile.rule(Allow, "mach-lookup", &all);
    // A browser's parts find one another by names that it registers.
    let foreign = |service: &&Service| match service {
        Service::Named(name) | Service::Beginning(name) => {
            !name.starts_with("com.apple.") && !"com.apple.".starts_with(name.as_str())
        }
    };
    let own = settings.services.iter().filter(foreign).map(listed);
    profile.rule(Allow, "mach-register", &own.collect::<Vec<_>>());
}

/// Shared memory, the graphics card, what is told of the machine, device nodes.
pub fn devices(profile: &mut Profile) {
    profile.group(
        "memory",
        "shared between the command's processes; and surfaces to draw on",
    );
    profile.whole(Allow, "ipc-posix-shm");
    profile.whole(Allow, "ipc-posix-sem");
    let classes = [
        ("iokit-registry-entry-class", "IOSurfaceRootUserClient"),
        ("iokit-registry-entry-class", "RootDomainUserClient"),
        ("iokit-user-client-class", "IOSurfaceSendRight"),
    ];
    let class = |(filter, class): (&str, &str)| Filter::Plain(format!("({filter} \"{class}\")"));
    profile.rule(Allow, "iokit-open", &classes.map(class));
    profile.whole(Allow, "iokit-get-properties");
    let system = "(require-all (socket-domain AF_SYSTEM) (socket-protocol 2))";
    profile.rule(Allow, "system-socket", &[Filter::Plain(system.into())]);
    profile.group("machine", "what programs ask of the kernel when they start");
    let names = [
        named("sysctl-name", "hw.", HARDWARE),
        named("sysctl-name", "kern.", KERNEL),
        named("sysctl-name", "", OTHERS),
        named("sysctl-name-prefix", "", BEGINNINGS),
    ];
    profile.rule(Allow, "sysctl-read", &names.concat());
    // V8 asks for constant-time instructions so.
    profile.rule(
        Allow,
        "sysctl-write",
        &named("sysctl-name", "", &["kern.tcsm_enable"]),
    );
    profile.whole(Allow, "distributed-notification-post");
    profile.group(
        "devices",
        "the standard nodes; output is thrown away in one that is a device",
    );
    profile.rule(Allow, "file-ioctl", &named("literal", "/dev/", DEVICES));
    let null = "(require-all (literal \"/dev/null\") (vnode-type CHARACTER-DEVICE))";
    for operation in ["file-read-data", "file-write-data", "file-ioctl"] {
        profile.rule(Allow, operation, &[Filter::Plain(null.into())]);
    }
}

/// Pseudo-terminals.
pub fn terminals(profile: &mut Profile, settings: &MacSettings) {
    if settings.terminals == Switch::Off {
        return;
    }
    profile.group(
        "terminals",
        "allowPty: the command may make terminals of its own",
    );
    profile.whole(Allow, "pseudo-tty");
    let nodes = ["(literal \"/dev/ptmx\")", "(regex #\"^/dev/ttys\")"];
    let nodes = nodes.map(|node| Filter::Plain(node.into()));
    for operation in ["file-read*", "file-write*", "file-ioctl"] {
        profile.rule(Allow, operation, &nodes);
    }
}
