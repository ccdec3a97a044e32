"""What a run costs, in ratios taken side by side: planning against find(1), starting and
a job that makes and removes 50,000 files against bubblewrap with the very same mounts.
Prints a table; fails past a target. With a second argument, only the rows of that name."""

import os
import shutil
import subprocess
import io
import sys
import tarfile
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
    return [min(times) for times in taken(commands, rounds)]


def middles(*commands, rounds):
    """The middle one: a disk's best is its own affair."""
    return [sorted(times)[len(times) // 2] for times in taken(commands, rounds)]


def taken(commands, rounds):
    times = [[] for _ in commands]
    for _ in range(rounds):
        for index, command in enumerate(commands):
            # What the last one has left to write is not this one's.
            os.sync()
            begin = time.monotonic()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            times[index].append(time.monotonic() - begin)
    return times


def policy(name, text):
    with open(name, "w") as file:
        file.write(text)
    return name


def archive(name, directories, files):
    """Directories of small files."""
    with tarfile.open(name, "w") as tar:
        for n in range(directories * files):
            info = tarfile.TarInfo(f"d{n // files}/f{n % files}")
            info.size = 800
            tar.addfile(info, io.BytesIO(b"x" * info.size))


def observing(row):
    """A job of 150,000 calls that the observer hears of, with it and without."""
    archive("many.tar", 100, 500)
    os.makedirs("out")
    out = policy("out.json", '{"filesystem": {"allowWrite": ["out"]}}')
    job = ["sh", "-c", "tar xf many.tar -C out && rm -rf out/*"]
    here = os.getcwd()
    bwrap = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--bind", f"{here}/out", f"{here}/out",
             "--chdir", here, "--unshare-all"]
    base, off, on = middles(bwrap + job, [SRT, "-s", out] + job, [SRT, "-s", out, "--log", "/dev/null"] + job, rounds=3)
    row("unpacking and removing 50,000 files: bwrap", base, "s", "", True)
    row("the same by srt / bwrap", off / base, "x", "<= 1.02", off <= 1.02 * base)
    row("the same with the observer / bwrap", on / base, "x", "<= 1.3", on <= 1.3 * base)


def main():
    failed = []

    def row(what, value, unit, target, good):
        print(f"{what:58} {value:8.2f} {unit:6} {target}", flush=True)
        if not good:
            failed.append(what)

    if "observer" in sys.argv[2:]:
        observing(row)
        sys.exit("past the target: " + "; ".join(failed) if failed else 0)

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
    observing(row)
    sys.exit("past the target: " + "; ".join(failed) if failed else 0)


if __name__ == "__main__":
    directory = tempfile.mkdtemp()
    os.chdir(directory)
    try:
        main()
    finally:
        shutil.rmtree(directory)
