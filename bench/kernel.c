/* SPDX-License-Identifier: MIT */
/* What a guest's kernel takes for its usual work: nanoseconds per operation, the best of many short
 * rounds, so that little of what else the host does is in them; and a thousand processes in a row, the mean of all,
 * of the first and of the last hundred. It is the guest's init, or runs on the host as it is:
 *
 *   kernel ROUNDS STATIC DYNAMIC    programs that end at once, linked in either way
 *
 * On the kernel's command line: rounds=N; row=NAME does that row only. scripts/bench-kernel builds and runs it. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGES 64

static char cmdline[1024];
static const char *static_program = "/bin/static", *dynamic_program = "/bin/dynamic";

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void need(int good)
{
    if (!good) {
        printf("failed\n");
        exit(1); /* the kernel panics */
    }
}

static void *map(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    need(p != MAP_FAILED);
    return p;
}

static void null_calls(unsigned n)
{
    while (n--)
        syscall(SYS_getppid);
}

static void page_faults(unsigned n)
{
    for (n /= PAGES; n--;) {
        volatile char *p = map(PAGES * 4096);

        for (unsigned k = 0; k < PAGES; k++)
            p[k * 4096] = 1;
        munmap((void *)p, PAGES * 4096);
    }
}

static void maps(unsigned n)
{
    while (n--)
        munmap(map(16 * 4096), 16 * 4096);
}

/* There and back, through another process. */
static void pipes(unsigned n)
{
    int there[2], back[2];
    char c = 0;
    pid_t pid;

    need(!pipe(there) && !pipe(back));
    pid = fork();
    if (!pid) {
        close(there[1]);
        while (read(there[0], &c, 1) == 1 && write(back[1], &c, 1) == 1)
            ;
        _exit(0);
    }
    while (n--)
        need(write(there[1], &c, 1) == 1 && read(back[0], &c, 1) == 1);
    close(there[1]);
    close(there[0]);
    close(back[0]);
    close(back[1]);
    waitpid(pid, NULL, 0);
}

static void opens(unsigned n)
{
    while (n--)
        close(open(static_program, O_RDONLY));
}

static void reads(unsigned n)
{
    char buf[4096];
    int fd = open(static_program, O_RDONLY);

    while (n--)
        need(pread(fd, buf, sizeof(buf), 0) == sizeof(buf));
    close(fd);
}

static void start(const char *path, unsigned n)
{
    char *argv[] = {(char *)(uintptr_t)path, NULL};

    while (n--) {
        pid_t pid = fork();
        int status;

        if (!pid && path)
            execv(path, argv);
        if (!pid)
            _exit(path != NULL);
        need(waitpid(pid, &status, 0) == pid && !status);
    }
}

static void forks(unsigned n)
{
    start(NULL, n);
}

static void static_execs(unsigned n)
{
    start(static_program, n);
}

static void dynamic_execs(unsigned n)
{
    start(dynamic_program, n);
}

static const struct {
    const char *name;
    void (*run)(unsigned n);
    unsigned count; /* in a round, which takes some milliseconds */
} rows[] = {
    {"null", null_calls, 10000}, {"fault", page_faults, 16 * PAGES}, {"mmap", maps, 300}, {"pipe", pipes, 200},
    {"open", opens, 500}, {"pread", reads, 3000}, {"fork", forks, 12}, {"exec-static", static_execs, 1},
    {"exec-dynamic", dynamic_execs, 1},
};

static const char *option(const char *name)
{
    const char *at = strstr(cmdline, name);

    return at ? at + strlen(name) : NULL;
}

static void print_row(const char *name, double ns)
{
    printf("row %s %.1f\n", name, ns);
    fflush(stdout);
}

static void best_of_rounds(unsigned k, int rounds)
{
    uint64_t best = UINT64_MAX;

    while (rounds-- > 0) {
        uint64_t begin = now_ns(), took;

        rows[k].run(rows[k].count);
        took = now_ns() - begin;
        best = took < best ? took : best;
    }
    print_row(rows[k].name, (double)best / rows[k].count);
}

static void processes_in_a_row(void)
{
    uint64_t begin = now_ns(), first, last;

    dynamic_execs(100);
    first = now_ns() - begin;
    dynamic_execs(800);
    last = now_ns();
    dynamic_execs(100);
    print_row("thousand", (double)(now_ns() - begin) / 1000);
    print_row("thousand-first", (double)first / 100);
    print_row("thousand-last", (double)(now_ns() - last) / 100);
}

static void as_init(void)
{
    int fd;

    mount("proc", "/proc", "proc", 0, NULL);
    fd = open("/proc/cmdline", O_RDONLY);
    need(read(fd, cmdline, sizeof(cmdline) - 1) > 0);
}

int main(int argc, char **argv)
{
    const char *rounds, *only;
    bool init = getpid() == 1;

    if (init)
        as_init();
    else if (argc < 4)
        return 0; /* what is started for the rows */
    else
        static_program = argv[2], dynamic_program = argv[3];
    rounds = init ? option("rounds=") : argv[1];
    only = option("row=");
    for (unsigned k = 0; k < sizeof(rows) / sizeof(*rows); k++)
        if (!only || !strncmp(only, rows[k].name, strcspn(only, " \n")))
            best_of_rounds(k, rounds ? atoi(rounds) : 20);
    if (!only || !strncmp(only, "thousand", strcspn(only, " \n")))
        processes_in_a_row();
    printf("rows-end\n");
    fflush(stdout);
    if (init)
        reboot(RB_POWER_OFF);
    return 0;
}
