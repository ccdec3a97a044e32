#!/bin/sh
# Line coverage of the rooms that decide, by the tests that ask them: each room's share, the
# lines that no test reaches, and a failure where a room is under LEAST per cent.
# Needs llvm-profdata and llvm-cov of the compiler's LLVM: rustup's component llvm-tools, or
# LLVM_PROFDATA and LLVM_COV.
set -eu
LEAST=${LEAST:-95}
# What the real program decides counts as well: its counters are in a file from the start (%c),
# since once it is confined it can make none.
TESTS="api architecture arguments calls capture captured check control control_lines control_schema corpus dialects doctor explain files git glob learn linux mac_run network observer oracle parse planted policy proxy seatbelt seccomp tls unified_log unix_sockets violation way_over"
tools=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
profdata=${LLVM_PROFDATA:-$tools/llvm-profdata}
cov=${LLVM_COV:-$tools/llvm-cov}
if ! "$profdata" --version >/dev/null 2>&1 || ! "$cov" --version >/dev/null 2>&1; then
	echo "coverage.sh: no llvm-profdata and llvm-cov: rustup component add llvm-tools, or set LLVM_PROFDATA and LLVM_COV" >&2
	exit 1
fi
out=$PWD/target/coverage
rm -rf "$out/profiles"
mkdir -p "$out/profiles"
names=
for name in $TESTS; do names="$names --test $name"; done
# Whether they pass is `make check`'s to say: what an instrumented program says inside the
# sandbox, where it can keep no counters, some of them take for the command's words.
# shellcheck disable=SC2086
RUSTFLAGS="-C instrument-coverage -C llvm-args=-runtime-counter-relocation" CARGO_TARGET_DIR=$out \
	LLVM_PROFILE_FILE=$out/profiles/%c%p-%m.profraw \
	cargo test --locked --quiet --no-fail-fast $names -- --test-threads 2 >"$out/tests.log" 2>&1 || true
if grep -q '^error: could not compile' "$out/tests.log"; then
	cat "$out/tests.log" >&2
	exit 1
fi
"$profdata" merge -sparse "$out"/profiles/*.profraw -o "$out/all.profdata"
objects=
for name in $TESTS; do
	binary=$(ls -t "$out"/debug/deps/"$name"-* | grep -v '\.' | head -n 1)
	objects="$objects --object $binary"
done
# shellcheck disable=SC2086
"$cov" export -format=lcov -instr-profile="$out/all.profdata" "$out/debug/srt" $objects >"$out/lcov.info"
python3 - "$out/lcov.info" "$LEAST" <<'PYTHON'
import collections, os, re, sys
def compiled(path):
    """Lines of functions that run when the program is compiled, where nobody counts."""
    inside, found = None, set()
    for number, line in enumerate(open(path), 1):
        if inside is None and re.match(r"\s*(pub(\(\w+\))? )?const fn ", line):
            inside = line[:len(line) - len(line.lstrip())]
        if inside is not None:
            found.add(number)
            if line.rstrip() == inside + "}":
                inside = None
    return found
rooms = ["parse", "policy", "emit", "proxy", "violation", "args"]
lines, file = collections.defaultdict(dict), ""
for line in open(sys.argv[1]):
    if line.startswith("SF:"):
        file = os.path.relpath(line[3:].strip())
    elif line.startswith("DA:"):
        number, count = map(int, line[3:].split(",")[:2])
        lines[file][number] = max(count, lines[file].get(number, 0))
fails = []
for room in rooms:
    mine = {f: n for f, n in lines.items() if f == f"src/{room}.rs" or f.startswith(f"src/{room}/")}
    for f, n in mine.items():
        for number in compiled(f) & n.keys():
            if not n[number]:
                del n[number]
    every = sum(map(len, mine.values()))
    hit = sum(count > 0 for n in mine.values() for count in n.values())
    share = 100 * hit / every
    print(f"{room:<10} {share:6.2f} % of {every} lines")
    for f, n in sorted(mine.items()):
        missed = [number for number, count in sorted(n.items()) if not count]
        if missed:
            print(f"    {f}: {' '.join(map(str, missed))}")
    if share < float(sys.argv[2]):
        fails.append(room)
if fails:
    sys.exit(f"under {sys.argv[2]} %: {', '.join(fails)}")
PYTHON
