#!/bin/sh
# The main job on something real, without the internet: a Git repository is cloned,
# built and tested under a policy; then a write, a host and a read that the policy
# does not allow. Fails if any of them is not as it should be.
set -eu
srt=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir origin work private
echo 'the secret' > private/key

cat > origin/hello.c <<'C'
#include <stdio.h>
int main(void) { puts("hello from inside"); return 0; }
C
printf 'hello: hello.c\n\tcc -o hello hello.c\ntest: hello\n\t./hello | grep -q inside && echo "the test passes"\n' > origin/Makefile
git -C origin init -q
git -C origin add .
git -C origin -c user.name=demo -c user.email=demo@example.com commit -qm 'A program and its test'

cat > policy.json <<P
{
  "network": { "allowedDomains": ["example.com"] },
  "filesystem": { "allowWrite": ["$dir/work"], "denyRead": ["$dir/private"] }
}
P
echo "policy.json:"
cat policy.json

# run TITLE EXPECTED COMMAND: EXPECTED is a word of what must be said.
run() {
    printf '\n== %s\n$ srt -s policy.json -c '"'%s'"'\n' "$1" "$3"
    "$srt" -s policy.json -c "$3" > said 2>&1 || true
    cat said
    if ! grep -q "$2" said; then
        echo "demo: expected to see: $2" >&2
        exit 1
    fi
}
run 'clone, build, test' 'the test passes' 'git clone -q origin work/copy && cd work/copy && make -s test'
run 'a write that is not allowed' 'Read-only file system' 'touch outside'
run 'a host that is not allowed' 'Connection blocked by network allowlist' 'curl -sS http://denied.example/'
run 'a file that is hidden' 'No such file or directory' 'cat private/key'
if [ -e outside ] || grep -q secret said; then
    echo "demo: the policy was not enforced" >&2
    exit 1
fi
printf '\nEverything allowed worked; everything else was refused.\n'
