/* Run as the sandbox's command, in a directory with s/allowed.sock, which is listed, and
   s/forbidden.sock, which is not; while the rest swaps them, the main thread connects.
   With a word of its own: a caller that is not what most are. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static volatile int over;
/* Of the same length, so that half of one is half of the other. */
static const char *paths[2] = { "s/allowed.sock", "s/forbidden.s" };
static union { struct sockaddr_un un; struct sockaddr_in in; char bytes[sizeof(struct sockaddr_un)]; } target, both[2], host;
enum { SWAPPED = 200 };

static void *flip(void *none)
{
    for (unsigned n = 0; !over; n++) memcpy((void *)target.bytes, both[n & 1].bytes, sizeof target);
    return none;
}

static void *family(void *none)
{
    for (unsigned n = 0; !over; n++) memcpy((void *)target.bytes, n & 1 ? host.bytes : both[1].bytes, sizeof target);
    return none;
}

static void *swap(void *none)
{
    while (!over) {
        int tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), local = socket(AF_UNIX, SOCK_STREAM, 0);
        dup2(tcp, SWAPPED);
        dup2(local, SWAPPED);
        close(tcp);
        close(local);
    }
    return none;
}

static void *relink(void *none)
{
    while (!over) syscall(SYS_renameat2, AT_FDCWD, "w/one", AT_FDCWD, "w/two", 2 /* RENAME_EXCHANGE */);
    return none;
}

static void *redirect(void *none)
{
    while (!over) syscall(SYS_renameat2, AT_FDCWD, "w/d1", AT_FDCWD, "w/d2", 2);
    return none;
}

static void named(int which, const char *path)
{
    both[which].un.sun_family = AF_UNIX;
    strcpy(both[which].un.sun_path, path);
}

static void round_of(const char *name, void *(*first)(void *), void *(*second)(void *), int shared)
{
    pthread_t threads[2];
    struct timespec start, now;
    long tried = 0, done = 0, denied = 0;
    over = 0;
    pthread_create(&threads[0], NULL, first, NULL);
    if (second) pthread_create(&threads[1], NULL, second, NULL);
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        int own = shared ? SWAPPED : socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(own, (void *)&target, sizeof target.un) == 0) done++;
        else if (errno == EACCES) denied++;
        if (!shared) close(own);
        tried++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec * 10 + now.tv_nsec / 100000000 < start.tv_sec * 10 + start.tv_nsec / 100000000 + 5);
    over = 1;
    pthread_join(threads[0], NULL);
    if (second) pthread_join(threads[1], NULL);
    printf("%s tried %ld done %ld denied %ld\n", name, tried, done, denied);
}

static int by_path(void)
{
    int one = socket(AF_UNIX, SOCK_STREAM, 0);
    named(0, paths[0]);
    return connect(one, (void *)&both[0], sizeof both[0].un) == 0 ? 0 : errno;
}

static void *of_its_own(void *leader)
{
    int one;
    if (leader) pthread_join(*(pthread_t *)leader, NULL);
    else {
        /* The number means this here, and a TCP socket to all others. */
        dup2(socket(AF_INET, SOCK_STREAM, 0), SWAPPED);
        if (unshare(CLONE_FILES)) { printf("unshare %s\n", strerror(errno)); exit(1); }
        dup2(socket(AF_UNIX, SOCK_STREAM, 0), SWAPPED);
        named(0, paths[0]);
        one = connect(SWAPPED, (void *)&both[0], sizeof both[0].un) == 0 ? 0 : errno;
        printf("%s\n", strerror(one));
        exit(0);
    }
    printf("%s\n", strerror(by_path()));
    exit(0);
}

int main(int argc, char **argv)
{
    pthread_t self = pthread_self(), other;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1 && strcmp(argv[1], "undumpable") == 0) {
        prctl(PR_SET_DUMPABLE, 0);
        printf("%s\n", strerror(by_path()));
        return 0;
    }
    if (argc > 1) {
        int alone = strcmp(argv[1], "leader gone") == 0;
        pthread_create(&other, NULL, of_its_own, alone ? &self : NULL);
        if (alone) pthread_exit(NULL);
        pthread_join(other, NULL);
    }
    host.in.sin_family = AF_INET;
    host.in.sin_port = htons(3128);
    inet_pton(AF_INET, "127.0.0.1", &host.in.sin_addr);
    named(0, paths[0]);
    named(1, paths[1]);
    round_of("address", flip, NULL, 0);
    dup2(0, SWAPPED);
    round_of("descriptor", swap, flip, 1);
    round_of("family", swap, family, 1);
    /* Links to the two, and directories with a socket of the same name. */
    if (symlink("../s/allowed.sock", "w/one") || symlink("../s/forbidden.s", "w/two")) return 2;
    memset(&target, 0, sizeof target);
    target.un.sun_family = AF_UNIX;
    strcpy(target.un.sun_path, "w/one");
    round_of("link", relink, NULL, 0);
    if (symlink("../s/in", "w/d1") || symlink("../s/out", "w/d2")) return 3;
    strcpy(target.un.sun_path, "w/d1/x.sock");
    round_of("directory", redirect, relink, 0);
    return 0;
}
