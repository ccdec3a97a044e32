//! A terminal for tests, and a shell with job control on it.

/// Drives a pty. What is typed is echoed, so no test waits for a word that it types.
pub const DRIVER: &str = r#"
import fcntl, os, pty, re, select, signal, struct, subprocess, sys, termios, time
SRT, POLICY = sys.argv[2], sys.argv[3]
class Terminal:
    def __init__(self, *argv):
        self.said = self.all = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.environ.update(TERM="dumb", PS1="out> ", PS2="")
            os.execvp(argv[0], argv)
        # Until then signals are Python's.
        own = os.readlink("/proc/self/exe")
        while os.readlink(f"/proc/{self.pid}/exe") == own: pass
    def type(self, text): os.write(self.fd, text.encode())
    def line(self, text): self.type(text + "\n")
    def more(self, seconds=0.0):
        if not select.select([self.fd], [], [], seconds)[0]: return True
        try: part = os.read(self.fd, 65536)
        except OSError: return False
        part = part.decode(errors="replace").replace("\r", "")
        self.said += part; self.all += part
        return bool(part)
    def until(self, pattern):
        end = time.monotonic() + 20
        while not (found := re.search(pattern, self.said)):
            if not self.more(0.5) or time.monotonic() > end:
                sys.exit(f"{pattern!r} did not come:\n{self.all}")
        self.said = self.said[found.end():]
        return found
    def prompt(self): self.until(r"out> ")
    def wait(self, what, condition):
        end = time.monotonic() + 20
        while not condition():
            self.more(0.01)
            if time.monotonic() > end: sys.exit(f"{what} did not come:\n{self.all}")
    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    def end(self):
        while self.more(20): pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
def state(pid): return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0]
def find(word):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try: words = open(f"/proc/{pid}/cmdline").read().split("\0")
        except OSError: continue
        if word in words and "srt" not in words[0]: return int(pid)
def supervisor(word):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try: words = open(f"/proc/{pid}/cmdline").read().split("\0")
        except OSError: continue
        if word in words and "srt" in words[0]: return int(pid)
# What is typed ahead of a change of the terminal's mode is not a line.
open("said.sh", "w").write('echo be""gun >&2; exec "$@"')
def shell():
    t = Terminal("bash", "--norc", "--noprofile", "-i")
    t.prompt()
    return t
def run(*argv): return Terminal(SRT, "-s", POLICY, *argv)
"#;
