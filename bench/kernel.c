/* SPDX-License-Identifier: MIT */
/* What a guest's kernel takes for its usual work: nanoseconds per operation, the best of many short
 * rounds, so that little of what else the host does is in them. It is the guest's init:
 *
 *   gcc -O2 -static -o kernel bench/kernel.c
 *   scripts/make-initramfs kernel.cpio --init kernel --add kernel:bin/static --add /bin/true:bin/dynamic \
 *     --add /lib64/ld-linux-x86-64.so.2:lib64/ld-linux-x86-64.so.2 \
 *     --add /lib/x86_64-linux-gnu/libc.so.6:lib/x86_64-linux-gnu/libc.so.6
 *   vz run --kernel ... --initrd kernel.cpio --cmdline "console=ttyS0 quiet rounds=60"
 *
 * On the kernel's command line: rounds=N; row=NAME does that row only. */
#include <fcntl.h>
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
        close(open("/bin/static", O_RDONLY));
}

static void reads(unsigned n)
{
    char buf[4096];
    int fd = open("/bin/static", O_RDONLY);

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
    start("/bin/static", n);
}

static void dynamic_execs(unsigned n)
{
    start("/bin/dynamic", n);
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

int main(int argc, char **argv)
{
    const char *rounds, *only;
    int fd;

    if (getpid() != 1)
        return 0; /* what is started for the rows */
    mount("proc", "/proc", "proc", 0, NULL);
    fd = open("/proc/cmdline", O_RDONLY);
    need(read(fd, cmdline, sizeof(cmdline) - 1) > 0);
    rounds = option("rounds=");
    only = option("row=");
    for (unsigned k = 0; k < sizeof(rows) / sizeof(*rows); k++) {
        uint64_t best = UINT64_MAX;

        if (only && strncmp(only, rows[k].name, strcspn(only, " \n")))
            continue;
        for (int r = rounds ? atoi(rounds) : 20; r > 0; r--) {
            uint64_t begin = now_ns(), took;

            rows[k].run(rows[k].count);
            took = now_ns() - begin;
            best = took < best ? took : best;
        }
        printf("row %s %.1f\n", rows[k].name, (double)best / rows[k].count);
        fflush(stdout);
    }
    printf("rows-end\n");
    fflush(stdout);
    reboot(RB_POWER_OFF);
    return 0;
}
