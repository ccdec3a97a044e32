//! Every number the program is bounded by, each with its reason.

use std::time::Duration;

/// Largest HTTP request head accepted, in bytes; past it the answer is 431.
/// Real clients stay under 16 KiB; cookies and tokens go somewhat beyond.
pub const HEAD_BYTES: usize = 64 * 1024;

/// Most header fields in one request head. Real clients send under 50.
pub const HEAD_FIELDS: usize = 200;

/// Longest chunk-size line of a chunked body, in bytes (RFC 9112, 7.1): sixteen
/// hexadecimal digits are all that a 64-bit length needs; extensions are refused.
pub const CHUNK_LINE_BYTES: usize = 18;

/// Most bytes of trailer fields behind a chunked body. Real ones are a checksum or two.
pub const TRAILER_BYTES: usize = 8 * 1024;

/// Time a client has to send a whole request head or SOCKS handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(30);

/// Time one name lookup may take; a hung resolver then costs one helper.
pub const LOOKUP: Duration = Duration::from_secs(10);

/// Time to connect, over all addresses of a name.
pub const DIAL: Duration = Duration::from_secs(30);

/// Time between the beginnings of two connects of one connection (RFC 8305, 5).
pub const STAGGER: Duration = Duration::from_millis(250);

/// Until a connection is accepted that could not be, for want of descriptors or memory: soon
/// enough for who waits, and seldom enough to cost nothing.
pub const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Most connects at once for one connection.
pub const ATTEMPTS: usize = 4;

/// Longest TLS ClientHello that is read. Real ones are below 4 KiB, with post-quantum
/// key shares; RFC 8446 would allow 16 MiB.
pub const CLIENT_HELLO_BYTES: usize = 16 * 1024;

/// Most bytes read for it: a record's header may stand before each byte of it.
pub const CLIENT_HELLO_INPUT: usize = 6 * (CLIENT_HELLO_BYTES + 4);

/// Time a closing connection has to take its last bytes.
pub const LINGER: Duration = Duration::from_secs(5);

/// Longest that a line of ours waits for room on stderr, before the command and after it.
pub const SAY: Duration = Duration::from_secs(1);

/// Time the open tunnels have to drain after the command has ended.
pub const DRAIN: Duration = Duration::from_millis(200);

/// Time a command has to end in order once its wall-clock limit is reached.
pub const WALL_GRACE: Duration = Duration::from_secs(5);

/// Longest that an attack of `--doctor` waits for a connection.
pub const ATTACK: Duration = Duration::from_secs(2);

/// Time bubblewrap has to end once the inner stage has; past it, it hangs and is killed.
pub const BWRAP_END: Duration = Duration::from_secs(5);

/// Longest wait for the end of a process that was killed, and for that of the last of a run.
pub const ENDING: Duration = Duration::from_secs(10);

/// Most ports in `allowHostPorts` and in `publishPorts`: their sockets go in one message.
pub const FORWARDED_PORTS: usize = 32;

/// Most lookup helpers at once: one that hangs delays nobody while others are free.
pub const LOOKUP_HELPERS: usize = 4;

/// Most lookups waiting for a helper; past it a lookup fails at once.
pub const LOOKUP_QUEUE: usize = 1024;

/// Most addresses taken from one lookup.
pub const LOOKUP_ADDRESSES: usize = 16;

/// Bytes moved by one read; a buffer of this size is shared by every connection.
pub const RELAY_BYTES: usize = 64 * 1024;

/// Reads a connection may make for one readiness event, so that a fast tunnel starves none.
pub const READS_PER_EVENT: usize = 16;

/// Descriptors kept free for everything that is not a proxied connection.
pub const RESERVED_DESCRIPTORS: u64 = 64;

/// Most connections at once, whatever RLIMIT_NOFILE would allow.
pub const CONNECTIONS: usize = 16 * 1024;

/// Largest settings file, in bytes.
pub const SETTINGS_BYTES: usize = 4 * 1024 * 1024;

/// Deepest nesting of a settings file (arrays and objects together).
pub const SETTINGS_DEPTH: usize = 64;

/// Most problems listed for one settings file.
pub const SETTINGS_PROBLEMS: usize = 50;

/// Longest line taken from the control descriptor: it may be a whole settings file.
pub const CONTROL_LINE_BYTES: usize = SETTINGS_BYTES;

/// Longest text of a problem that is told over the control descriptor: with
/// [`SETTINGS_PROBLEMS`] of them, a line stays well below what a socket holds (64 KiB).
pub const CONTROL_PROBLEM_BYTES: usize = 512;

/// Longest DNS name, in octets, without the trailing dot (RFC 1035, 2.3.4).
pub const NAME_BYTES: usize = 253;

/// Longest label of a DNS name, in octets (RFC 1035, 2.3.4).
pub const LABEL_BYTES: usize = 63;

/// Longest name in a DNS message, in octets (RFC 1035, 2.3.4): lengths and the root count.
pub const WIRE_NAME_BYTES: usize = 255;

/// Longest DNS question taken: what servers are told that every network carries in one
/// packet (RFC 9715, 3.1, less the headers). Real ones are below 300 bytes.
pub const QUESTION_BYTES: usize = 1232;

/// Most questions on one TCP connection, which is closed then (RFC 7766, 6.2.3).
pub const QUESTIONS: u32 = 100;

/// DNS questions taken from one socket before other work has its turn.
pub const QUESTIONS_PER_TURN: usize = 64;

/// Connections taken from one listener before other work has its turn.
pub const ACCEPTS_PER_TURN: usize = 64;

/// Most names that capture gives an address in one run, each of 253 octets at most. A build
/// asks for some dozens; a wildcard rule lets a command ask for any number.
pub const CAPTURED_NAMES: u32 = 8192;

/// Longest hosts file that is read. One that is longer is a list of what is not to be
/// reached.
pub const HOSTS_BYTES: u64 = 256 * 1024;

/// Most ports that capture listens on: each takes a descriptor.
pub const CAPTURED_PORTS: usize = 256;

/// Most bytes read of what bubblewrap says of its sandbox: some numbers.
pub const SANDBOX_BYTES: usize = 4096;

/// Longest that capture may take to stand; measured, it takes a millisecond.
pub const CAPTURE: Duration = Duration::from_secs(5);

/// Most components of a glob after its base: positions among them fit one word.
pub const GLOB_PARTS: usize = 62;

/// Most entries looked at in the one walk for globs and always-denied names. A large
/// home directory has fewer.
pub const WALK_ENTRIES: usize = 2_000_000;

/// Longest that walk may take.
pub const WALK: Duration = Duration::from_secs(20);

/// Deepest directory that walk goes down to, below where it starts; the kernel's
/// PATH_MAX allows 2,000, and each level holds a descriptor.
pub const WALK_LEVELS: usize = 256;

/// Times a plan is made over a tree that changes meanwhile, before that is an error.
pub const PLANS: usize = 5;

/// Most matches of globs that are taken; a mount plan has room for fewer.
pub const MATCHES: usize = 100_000;

/// Most symbolic links followed for one path, as in the kernel (path_resolution(7)).
pub const LINKS: usize = 40;

/// Longest content of a `.git` or `commondir` file; it names one path.
pub const GIT_LINK_BYTES: usize = 4_200;

/// Most levels below `.git/modules` in which a submodule's directory is looked for.
pub const GIT_MODULE_LEVELS: u8 = 8;

/// Longest path of a placeholder (PATH_MAX, linux/limits.h).
pub const HELD_PATH_BYTES: usize = 4_096;

/// Most bytes read of one run's record of placeholders: more than a plan has room for.
pub const RECORD_BYTES: u64 = 64 * 1024 * 1024;

/// Most arguments bubblewrap takes from `--args` and its command line together.
pub const BWRAP_ARGUMENTS: usize = 9_000;

/// Longest string in a macOS sandbox profile: one that is longer makes the whole profile
/// void.
pub const SEATBELT_LITERAL_BYTES: usize = 1_025;

/// Longest regular expression in one: the same bound, with room for what is around it.
pub const SEATBELT_REGEX_BYTES: usize = 900;

/// Most bytes of bubblewrap's own error text that are repeated to the user.
pub const BWRAP_WORDS: usize = 4096;

/// Longest line of the log: what a pipe takes whole (PIPE_BUF, pipe(7)).
pub const LOG_LINE_BYTES: usize = 4096;

/// Most lines of one run's log; what is beyond them is counted. A command that tries ever
/// new things does not fill the disk.
pub const LOG_LINES: u64 = 50_000;

/// Longest message of the observer: two paths and a rule.
pub const OBSERVED_BYTES: usize = 3 * 4096;

/// Most directories whose real paths the observer remembers.
pub const KNOWN_DIRECTORIES: usize = 1024;

/// Longest that a refusal waits for its answer until it is known who asked.
pub const WITNESS: Duration = Duration::from_millis(200);

/// Messages of the observer taken in before other work has its turn.
pub const HEARD_PER_TURN: usize = 64;

/// Longest that the observer takes to say its last words once nobody calls any more.
pub const OBSERVER_END: Duration = Duration::from_secs(2);

/// Most processes looked at to find the owner of a connection.
pub const OWNERS: usize = 4096;

/// Most connects to Unix sockets that wait for room in a listener's queue.
pub const WAITING_CONNECTS: usize = 64;

/// Time between two tries of such a connect.
pub const CONNECT_AGAIN: Duration = Duration::from_millis(10);

/// Bytes of an event in macOS's log: a path, and what stands around it.
pub const LOG_EVENT_BYTES: usize = 16 * 1024;

/// Bytes that wait for whoever reads at the other end of the control descriptor; what finds
/// no room is lost, and a question is answered with no.
pub const CONTROL_OUT_BYTES: usize = 256 * 1024;

/// Longest that whoever is asked about a destination may take; then it is refused.
pub const ASK: Duration = Duration::from_secs(60);

/// Longest wait until macOS's log is being read, if somebody wants to know it all.
pub const LOG_STREAM_START: Duration = Duration::from_secs(2);

/// Longest wait for what macOS's log says of a run that is over.
pub const LOG_STREAM_END: Duration = Duration::from_millis(500);

/// Most violations kept; the oldest are dropped and counted.
pub const VIOLATIONS: usize = 1_000;

/// Bytes of a directory's listing that are taken at once when it is removed: what is
/// kept for each level of a tree is no more.
pub const REMOVAL_BYTES: usize = 4096;

/// Deepest that a run goes down to clear its own directory at its end: Landlock looks at
/// every directory above at each step. What is deeper is the next run's, which clears up
/// before it holds itself to any rules.
pub const REMOVAL_LEVELS: usize = 1_000;

/// Most times that a tree is gone through to remove it: a file system that passes over
/// entries while others go passes over half of them at most.
pub const REMOVALS: u32 = 32;

/// Longest wait for a lock that others hold for a few system calls only.
pub const LOCK: Duration = Duration::from_secs(5);

/// Time between two tries of such a lock.
pub const LOCK_AGAIN: Duration = Duration::from_millis(2);
