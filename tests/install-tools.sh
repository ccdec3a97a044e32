#!/bin/sh
# Installs the programs named on the command line that are missing, with the system's
# own package manager.
set -eu
missing=
# Where servers are, which an ordinary user's PATH may leave out.
PATH=$PATH:/usr/sbin:/sbin
for program in "$@"; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
[ -n "$missing" ] || exit 0

# program -> package, where the two differ: Debian's name, then the others'.
package() {
    case "$1" in
        bwrap) echo bubblewrap ;;
        ip) if [ "$2" = dnf ]; then echo iproute; else echo iproute2; fi ;;
        nsenter | setpriv | setsid | unshare | ipcmk) echo util-linux ;;
        cc) echo gcc ;;
        ssh) if [ "$2" = apt-get ]; then echo openssh-client; else echo openssh; fi ;;
        sshd) if [ "$2" = apt-get ]; then echo openssh-server; else echo openssh; fi ;;
        nc)
            case "$2" in
                dnf) echo nmap-ncat ;;
                pacman) echo openbsd-netcat ;;
                *) echo netcat-openbsd ;;
            esac
            ;;
        find) echo findutils ;;
        node) echo nodejs ;;
        pip3) if [ "$2" = pacman ]; then echo python-pip; else echo python3-pip; fi ;;
        *) echo "$1" ;;
    esac
}
for manager in apt-get dnf pacman apk zypper none; do
    command -v "$manager" >/dev/null 2>&1 && break
done
packages=
for program in $missing; do
    packages="$packages $(package "$program" "$manager")"
done
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "installing:$packages" >&2
# Word splitting is meant: a list of packages.
case "$manager" in
    apt-get)
        export DEBIAN_FRONTEND=noninteractive
        $sudo apt-get update -qq
        # shellcheck disable=SC2086
        $sudo apt-get install -y -qq $packages >/dev/null
        ;;
    dnf) $sudo dnf install -y $packages ;;
    pacman) $sudo pacman -Sy --noconfirm $packages ;;
    apk) $sudo apk add $packages ;;
    zypper) $sudo zypper --non-interactive install $packages ;;
    none)
        echo "no package manager that this script knows: install$packages by hand" >&2
        exit 1
        ;;
esac
