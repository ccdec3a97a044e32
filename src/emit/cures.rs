//! What to do about a failure of bubblewrap, from its own words and the host.

/// What of the host a cure depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// srt is run by the superuser.
    pub superuser: bool,
    /// bubblewrap is installed setuid.
    pub setuid: bool,
    /// The kernel is that of WSL.
    pub wsl: bool,
    /// The kernel has an AppArmor switch for user namespaces, and it is on.
    pub apparmor: bool,
}

/// The cause, as far as it is known, and the cure.
pub fn cure(words: &str, host: Situation) -> &'static str {
    let has = |part: &str| words.contains(part);
    let users = has("No permissions to creat")
        || has("Creating new namespace failed")
        || has("user namespace")
        || has("setting up uid map")
        || has("RTM_NEWADDR");
    if users && host.apparmor && !host.superuser {
        "AppArmor lets no program make user namespaces but those with a profile that says so (Ubuntu 23.10 and \
         later): install the profile `bwrap-userns-restrict` of apparmor-profiles, or give bwrap one that allows \
         `userns`"
    } else if has("setting up uid map: Operation not permitted") && host.superuser {
        "to map the superuser into a user namespace takes CAP_SETFCAP (Linux 5.12 and later), which this container \
         does not have: add it, or run srt as another user"
    } else if has("setting up uid map") || has("RTM_NEWADDR") {
        "a user namespace is made here, and then kept from what it is for: a security module (AppArmor's \
         `userns`, SELinux) restricts it; allow it for bwrap"
    } else if users && host.wsl {
        "this WSL kernel makes no user namespaces: use WSL 2, with a kernel that has CONFIG_USER_NS"
    } else if users {
        "this host does not let this user make user namespaces: allow them (in a container, a seccomp profile that \
         permits unshare and clone with CLONE_NEWUSER; user.max_user_namespaces above 0)"
    } else if has("mount proc") {
        "this container masks /proc, so that a fresh one cannot be mounted: run it with an unmasked /proc, or set \
         enableWeakerNestedSandbox, which shows the command the container's processes"
    } else if has("Unknown option") {
        "this bubblewrap is too old: version 0.8 or later is needed"
    } else if has("execvp /proc/self/fd") && host.setuid {
        "this bubblewrap is setuid, and takes more from its child than a plain one: remove the bit (chmod u-s) where \
         user namespaces are allowed"
    } else if has("execvp /proc/self/fd") {
        "denyRead hides the loader or the libraries that srt itself needs: allow reading /lib, /lib64 and /usr/lib, \
         or use a static build"
    } else if has("Can't chdir") {
        "the working directory is not visible under this policy: start in another one, or allow reading it"
    } else if has("/proc/sys/kernel/overflow") {
        "something is mounted over /proc/sys, where bubblewrap reads: show it"
    } else {
        "run with --dry-run to see what it was asked to do"
    }
}
