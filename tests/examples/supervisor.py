"""Runs a command under srt, and asks the person at the terminal about each host that the
settings neither allow nor deny.   supervisor.py SETTINGS COMMAND [ARG...]"""
import json
import os
import socket
import subprocess
import sys

ours, theirs = socket.socketpair()
srt = os.environ.get("SRT", "srt")
command = [srt, "-s", sys.argv[1], "--control-fd", str(theirs.fileno()), "--", *sys.argv[2:]]
child = subprocess.Popen(command, pass_fds=[theirs.fileno()])
theirs.close()
control = ours.makefile("rw", encoding="ascii", newline="\n")


def say(**line):
    print(json.dumps(line), file=control, flush=True)


say(ask=True)
with open("/dev/tty", "r") as answers, open("/dev/tty", "w") as terminal:
    # The end comes when srt ends, and nobody else has the other end.
    for line in control:
        event = json.loads(line)
        if event["event"] == "ask":
            place = f"{event['host']}:{event['port']}"
            print(f"supervisor: allow {place}? [y/N] ", end="", file=terminal, flush=True)
            say(id=event["id"], allow=answers.readline().strip().lower() == "y")
        elif event["event"] == "violation":
            print(f"supervisor: denied {event['target']}: {event['reason']}", file=terminal, flush=True)
sys.exit(child.wait())
