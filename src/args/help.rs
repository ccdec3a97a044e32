//! What `--help` prints.

/// The help text.
pub const HELP: &str = "\
Run a command in a sandbox: it reads what the policy does not deny, writes only
what the policy allows, and reaches only the network names the policy lists.

Usage: srt [OPTIONS] [--] COMMAND [ARG...]
       srt [OPTIONS] -c STRING
       srt [-s PATH] --doctor [--json]
       srt [-s PATH] --explain read|write|connect|socket TARGET...
       srt --check FILE [NEW]

Options:
  -s, --settings PATH  settings file (default ~/.srt-settings.json; if that is
                       absent, nothing may be written or reached)
  -c STRING            run STRING with `sh -c`
  -d, --debug          say on stderr what is decided and done (also SRT_DEBUG=1)
      --log PATH       append what is denied to PATH as JSON lines (- is stderr);
                       --log-fd FD: to a descriptor, 3 or more
      --control-fd FD  read new network rules from FD while the command runs; over a
                       socket, tell what is denied, and ask
      --suggest        after the run, print the smallest settings that would have
                       allowed what was denied
      --learn          let every host through that no rule denies, and print the
                       settings under which the run goes through
      --explain        say what is decided of each TARGET (paths, HOST:PORT), and
                       by which rule; exit with 1 if one is denied
      --dry-run        print what would be run, and stop; with --platform macos, as
                       macOS would be asked to, on any system
      --doctor         say what the sandbox promises on this host, and prove it by
                       attacks; with --json, for machines
      --check FILE     say what is wrong or doubtful in a settings file; with NEW,
                       what that one allows and FILE does not (status 1 if anything)
  -h, --help           print this help
  -V, --version        print the version

Options end at the first word that is not one.

Exit status: the command's own; 128+N if signal N ended it; 125 if srt itself
failed or refused (nothing was run); 126 if COMMAND cannot be executed; 127 if
it was not found.
";
