/* SPDX-License-Identifier: MIT */
/* Files that a guest has mapped: does it see what is there, and does the host see what it writes? */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/stat.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u

static sigjmp_buf gone;

static void on_bus(int sig)
{
    siglongjmp(gone, 1);
}

static void pause_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Word 0 of each page is its number, as the host has written it; word 1 is ours. */
static unsigned check(const uint32_t *p, size_t pages, uint32_t second)
{
    unsigned wrong = 0;

    for (size_t n = 0; n < pages; n++)
        wrong += p[n * PAGE / 4] != n || p[n * PAGE / 4 + 1] != second;
    return wrong;
}

static void change(uint32_t *p, size_t pages)
{
    for (size_t n = 0; n < pages; n++)
        p[n * PAGE / 4 + 1]++;
}

/* Read, change and sync all pages; and what read() says then. */
static void all(int fd, uint32_t *p, size_t pages)
{
    uint32_t words[2];
    unsigned wrong = check(p, pages, 0), other = 0;

    change(p, pages);
    if (msync(p, pages * PAGE, MS_SYNC) < 0)
        perror("msync");
    for (size_t n = 0; n < pages; n++) {
        if (pread(fd, words, 8, (off_t)(n * PAGE)) != 8 || words[0] != n || words[1] != 1)
            other++;
    }
    printf("pages %zu wrong %u other %u\n", pages, wrong, other);
}

/* Until the first byte is 'b'; nothing is asked of the file system meanwhile. */
static void watch(volatile const char *p)
{
    puts("ready");
    fflush(stdout);
    for (unsigned n = 0; n < 6000 && *p != 'b'; n++)
        pause_ms(10);
    puts(*p == 'b' ? "seen" : "not seen");
}

/* Use all pages, whether the file has them or not, until there is a file of that name. */
static void use(uint32_t *p, size_t pages, const char *until)
{
    volatile unsigned rounds = 0, faults = 0;

    signal(SIGBUS, on_bus);
    while (access(until, F_OK)) {
        for (volatile size_t n = 0; n < pages; n++) {
            if (sigsetjmp(gone, 1))
                faults++;
            else
                p[n * PAGE / 4 + 1]++;
        }
        rounds++;
    }
    printf("rounds %s faults %s\n", rounds ? "some" : "none", faults ? "some" : "none");
}

/* Change one page after the other for ever, and count in the first. */
static void count(uint32_t *p, size_t pages)
{
    for (uint32_t n = 1;; n++) {
        for (size_t i = 1; i < pages; i++) {
            if (p[i * PAGE / 4 + 1] != n - 1) {
                p[3] = (uint32_t)i;
                return;
            }
            p[i * PAGE / 4 + 1] = n;
        }
        p[2] = n;
        pause_ms(10);
    }
}

static void tell_dax(const char *path)
{
    struct statx stx = {0};

    syscall(SYS_statx, AT_FDCWD, path, 0, STATX_BASIC_STATS, &stx);
    printf("dax %s\n", stx.stx_attributes & 0x200000 ? "yes" : "no");
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "", *path = argc > 2 ? argv[2] : "";
    int writable = strcmp(what, "watch") && strcmp(what, "sum");
    int fd = open(path, writable ? O_RDWR : O_RDONLY);
    struct stat st;
    uint32_t *p;

    if (fd < 0 || fstat(fd, &st) < 0) {
        perror(path);
        return 1;
    }
    p = mmap(NULL, (size_t)st.st_size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    tell_dax(path);
    if (!strcmp(what, "all"))
        all(fd, p, (size_t)st.st_size / PAGE);
    else if (!strcmp(what, "sum"))
        printf("pages %zu wrong %u\n", (size_t)st.st_size / PAGE, check(p, (size_t)st.st_size / PAGE, 0));
    else if (!strcmp(what, "watch"))
        watch((const char *)p);
    else if (!strcmp(what, "use") && argc > 3)
        use(p, (size_t)st.st_size / PAGE, argv[3]);
    else if (!strcmp(what, "count"))
        count(p, (size_t)st.st_size / PAGE);
    return 0;
}
