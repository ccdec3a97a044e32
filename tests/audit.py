"""For auditors: `audit.py size` counts lines by room, without tests, blank lines and comments;
`audit.py unsafe` lists every unsafe block with its reason."""
import pathlib
import re
import sys

SOURCES = sorted(pathlib.Path("src").rglob("*.rs"))
ROOMS = ["parse", "policy", "emit", "proxy", "violation", "args", "sys", "reactor", "run", "api"]


def room(path):
    name = path.parts[1].removesuffix(".rs")
    return name if name in ROOMS else "(top)"


def size():
    counts = {}
    for path in SOURCES:
        lines = [line.strip() for line in path.read_text().splitlines()]
        code = sum(1 for line in lines if line and not line.startswith("//"))
        words = sum(1 for line in lines if line.startswith("//"))
        files, had, said = counts.get(room(path), (0, 0, 0))
        counts[room(path)] = files + 1, had + code, said + words
    print(f"{'room':<12}{'files':>6}{'code':>8}{'comments':>10}")
    for name in ROOMS + ["(top)"]:
        files, code, words = counts[name]
        print(f"{name:<12}{files:>6}{code:>8}{words:>10}")
    files, code, words = map(sum, zip(*counts.values()))
    print(f"{'all':<12}{files:>6}{code:>8}{words:>10}")


def unsafe():
    found, bare = 0, []
    for path in SOURCES:
        lines = path.read_text().splitlines()
        for at, line in enumerate(lines):
            code = line.split("//")[0]
            if not re.search(r"\bunsafe\s*(\{|\(|impl)|\bunsafe extern", code):
                continue
            found += 1
            # The comment stands above the statement that the block is part of.
            above = at
            while above > 0 and "SAFETY" not in lines[above] and at - above < 12:
                above -= 1
            if "SAFETY" not in lines[above]:
                bare.append(f"{path}:{at + 1}")
                continue
            words = []
            while lines[above].strip().startswith("//"):
                words.append(lines[above].strip().removeprefix("//").strip())
                above += 1
            print(f"{path}:{at + 1}: {' '.join(words).removeprefix('SAFETY: ')}")
    print(f"{found} in all")
    if bare:
        sys.exit(f"without a reason: {', '.join(bare)}")


{"size": size, "unsafe": unsafe}[sys.argv[1]]()
