/* Run as the sandbox's command: says PROBE, and LAYER with each layer that is missing.
   What fails for another reason counts as there. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* No stdio: it makes system calls of its own, and gives up if they fail. */
static void say(const char *text) { if (write(1, text, strlen(text)) < 0) abort(); }
static void missing(const char *layer, int is) { if (is) { say("LAYER "); say(layer); say("\n"); } }

int main(int argc, char **argv)
{
    struct sockaddr_in host = { .sin_family = AF_INET };
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct caps[2] = { { 0 } };
    int null = open("/dev/null", O_RDWR), tcp, n, bounding = 0, open_ones = 0;
    if (argc != 3) return 9;
    say("PROBE\n");
    if (null != 3) open_ones = null > 0;
    for (n = 4; n < 100; n++) open_ones |= fcntl(n, F_GETFD) >= 0;
    missing("descriptors", open_ones);
    missing("mounts: write", open("o/new", O_CREAT | O_WRONLY, 0600) >= 0);
    missing("mounts: denied inside", open("w/deny/new", O_CREAT | O_WRONLY, 0600) >= 0);
    missing("mounts: protected", open("w/.git/hooks/x", O_CREAT | O_WRONLY, 0600) >= 0);
    unlink("w/.bashrc");
    missing("mounts: absent and protected", open("w/.bashrc", O_CREAT | O_WRONLY | O_TRUNC, 0600) >= 0);
    missing("mounts: read", open("h/secret", O_RDONLY) >= 0);
    missing("Landlock", open("/proc/self/fd/0", O_WRONLY) >= 0);
    missing("no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
    missing("seccomp", prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0);
    missing("seccomp: Unix", socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
    missing("seccomp: ring", syscall(SYS_io_uring_setup, 1, 0) < 0 && errno != ENOSYS);
    missing("seccomp: terminal", ioctl(null, TIOCSTI, "x") < 0 && errno == ENOTTY);
    missing("undumpable", open("/proc/1/environ", O_RDONLY) >= 0);
    missing("pid namespace", kill(atoi(argv[2]), 0) == 0 || getppid() != 1);
    if (syscall(SYS_capget, &header, caps) == 0)
        missing("capabilities", (caps[0].effective | caps[1].effective | caps[0].permitted | caps[1].permitted) != 0);
    for (n = 0; n <= 40; n++) bounding |= prctl(PR_CAPBSET_READ, n, 0, 0, 0) == 1;
    missing("bounding set", bounding);
    host.sin_port = htons(atoi(argv[1]));
    inet_pton(AF_INET, "127.0.0.1", &host.sin_addr);
    tcp = socket(AF_INET, SOCK_STREAM, 0);
    missing("network namespace", connect(tcp, (void *)&host, sizeof host) == 0);
    missing("seccomp: user namespace", unshare(CLONE_NEWUSER) == 0);
    return 0;
}
