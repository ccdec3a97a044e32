"""What a run costs, in ratios taken side by side: planning against find(1), starting
against bubblewrap with the very same mounts. Prints a table; fails past a target."""

import os
import shutil
import subprocess
import sys
import tempfile
import time

SRT = os.path.realpath(sys.argv[1])
GLOBS = ["**/*.pem", "**/.env", "**/.env.*", "**/secrets/**", "**/*.key", "**/id_rsa*", "**/.aws/**",
         "**/*.p12", "**/.ssh/**", "**/credentials*.json", "**/*.lock", "**/package.json", "big/a1/**/*.cfg",
         "**/Makefile", "**/*.yml", "**/*.toml", "**/.github/**", "**/ci/**", "**/Dockerfile*", "**/*.tf"]


def tree(at, outer, inner):
    """outer * outer * inner directories of 50 files."""
    for a in range(outer):
        for b in range(outer):
            for c in range(inner):
                directory = f"{at}/a{a}/b{b}/c{c}"
                os.makedirs(directory)
                for n in range(50):
                    open(f"{directory}/file{n}.{'ts js rs md json'.split()[n % 5]}", "w").close()


def seconds(*commands, rounds):
    """The best time of each command, taken in turns."""
    best = [float("inf")] * len(commands)
    for _ in range(rounds):
        for index, command in enumerate(commands):
            begin = time.monotonic()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            best[index] = min(best[index], time.monotonic() - begin)
    return best


def policy(name, text):
    with open(name, "w") as file:
        file.write(text)
    return name


def main():
    failed = []

    def row(what, value, unit, target, good):
        print(f"{what:58} {value:8.2f} {unit:6} {target}")
        if not good:
            failed.append(what)

    quoted = ", ".join(f'"{glob}"' for glob in GLOBS[:10]), ", ".join(f'"{glob}"' for glob in GLOBS[10:])
    wide = policy("wide.json", '{"mandatoryDenySearchDepth": 10, "filesystem": {"allowWrite": ["big"], '
                  f'"denyRead": [{quoted[0]}], "denyWrite": [{quoted[1]}]}}}}')
    here = policy("here.json", '{"filesystem": {"allowWrite": ["small"], "denyRead": ["small/**/*.pem", "small/**/.env"]}}')
    none = policy("none.json", "{}")
    tree("big", 20, 10)
    tree("small", 4, 2)
    plan = [SRT, "--dry-run", "-s"]
    find, big, small, nothing = seconds(["find", "big"], plan + [wide, "true"], plan + [here, "true"],
                                        plan + [none, "true"], rounds=9)
    row("planning over 200,000 files, 20 globs, depth 10 / find", big / find, "x", "<= 1.5", big <= 1.5 * find)
    row("planning in a repository of 1,600 files", (small - nothing) * 1e3, "ms", "<= 2", small - nothing <= 2e-3)
    base = seconds(["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all", "true"],
                   [SRT, "-s", none, "true"], [SRT, "-s", here, "true"], rounds=25)
    row("bwrap true", base[0] * 1e3, "ms", "", True)
    row("srt true, nothing allowed", base[1] * 1e3, "ms", "", True)
    row("srt true, a writable repository", base[2] * 1e3, "ms", "", True)
    sys.exit("past the target: " + "; ".join(failed) if failed else 0)


if __name__ == "__main__":
    directory = tempfile.mkdtemp()
    os.chdir(directory)
    try:
        main()
    finally:
        shutil.rmtree(directory)
