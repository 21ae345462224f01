/* SPDX-License-Identifier: MIT */
/* The guest's part of the shared directories' benchmark: shares MILLISECONDS WHERE DIR ROW... With BENCH_TAR=FILE it is
 * the host's, which unpacks that file and leaves the host's caches alone: they are as full for the shares in guests.
 *
 * DIR has what scripts/bench-shares put there: data (a file), tree/ (a kernel-like tree in git), project/ (with a
 * Makefile). Every row works for so long (by CLOCK_MONOTONIC; at least once), and prints
 *
 *     share ROW@WHERE count C ns T end
 *
 * where C are bytes of data, names, or runs of a command. What is done between two runs, such as emptying the
 * guest's caches, is outside of the time. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUFFER  (1u << 20)
#define NAMES   400u
#define FILES   5000u /* of the tree, at most */
#define NAME_LEN 64u

static uint64_t duration_ns;
static const char *row;
static char *buffer; /* aligned, for O_DIRECT */

static void die(const char *what)
{
    printf("share %s failed: %s: %s\n", row, what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* '1': pages; '2': names and attributes; '3': both */
static void drop_caches(char which)
{
    int fd;

    if (getenv("BENCH_TAR"))
        return;
    fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
    sync();
    if (fd < 0 || write(fd, &which, 1) != 1)
        die("drop_caches");
    close(fd);
}

/* ---- Data: "seq-read-cached", "rand-write-direct" ---- */

struct data {
    int fd;
    bool writes, random, direct;
    size_t size;
    uint64_t units, next;
};

static uint64_t data_pass(struct data *d, uint64_t until)
{
    uint64_t count = 0;

    for (uint64_t i = 0; i < d->units && now_ns() < until; i++) {
        off_t at = (off_t)((d->random ? (d->next = d->next * 6364136223846793005u + 1442695040888963407u) >> 20 : i) %
                           d->units * d->size);
        ssize_t n = d->writes ? pwrite(d->fd, buffer, d->size, at) : pread(d->fd, buffer, d->size, at);

        if (n != (ssize_t)d->size)
            die("transfer");
        count += d->size;
    }
    return count;
}

static uint64_t run_data(uint64_t *ret_ns)
{
    char order[5], way[6], cache[8];
    uint64_t count = 0, ns = 0;
    struct data d = {0};
    struct stat st;

    if (sscanf(row, "%4[a-z]-%5[a-z]-%7[a-z]", order, way, cache) != 3)
        die("no such row");
    d.random = order[0] == 'r';
    d.writes = way[0] == 'w';
    d.direct = cache[0] == 'd';
    d.size = d.random ? 4096 : BUFFER;
    while (ns < duration_ns) {
        uint64_t start;

        /* What is cached is read into the guest's cache and taken from there, as a program finds it. */
        drop_caches('1');
        d.fd = open("data", (d.writes ? O_WRONLY : O_RDONLY) | (d.direct ? O_DIRECT : 0));
        if (d.fd < 0 || fstat(d.fd, &st) < 0)
            die("data");
        d.units = (uint64_t)st.st_size / d.size;
        start = now_ns();
        count += data_pass(&d, start + duration_ns - ns);
        if (close(d.fd) < 0)
            die("close");
        ns += now_ns() - start;
    }
    *ret_ns = ns;
    return count;
}

/* Every word of the file, mapped anew each time, and the guest's cache empty before. */
static uint64_t run_map(uint64_t *ret_ns)
{
    uint64_t count = 0, ns = 0, sum = 0;
    struct stat st;

    while (ns < duration_ns) {
        uint64_t start;
        const uint64_t *p;
        int fd;

        drop_caches('1');
        start = now_ns();
        fd = open("data", O_RDONLY);
        if (fd < 0 || fstat(fd, &st) < 0)
            die("data");
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
            die("mmap");
        for (size_t i = 0; i < (size_t)st.st_size / sizeof(*p); i++)
            sum += p[i];
        munmap((void *)(uintptr_t)p, (size_t)st.st_size);
        close(fd);
        ns += now_ns() - start;
        count += (uint64_t)st.st_size;
    }
    buffer[0] = sum ? 'y' : 'Y'; /* it is used */
    *ret_ns = ns;
    return count;
}

/* ---- Names ---- */

static char (*files)[NAME_LEN];
static unsigned file_count;

static void list_files(void)
{
    FILE *f = popen("find tree -path tree/.git -prune -o -type f -print", "r");

    files = malloc(FILES * sizeof(*files));
    for (; files && f && file_count < FILES && fgets(files[file_count], NAME_LEN, f); file_count++)
        files[file_count][strcspn(files[file_count], "\n")] = '\0';
    if (!f || pclose(f) != 0 || !file_count)
        die("find");
}

/* Every file of the tree, again and again. */
static uint64_t run_stat(uint64_t *ret_ns)
{
    uint64_t start, count = 0;
    struct stat st;

    list_files();
    start = now_ns();
    while (now_ns() - start < duration_ns) {
        for (unsigned i = 0; i < file_count; i++, count++) {
            if (stat(files[i], &st) < 0)
                die(files[i]);
        }
    }
    *ret_ns = now_ns() - start;
    return count;
}

static void make_and_remove(void)
{
    char name[32];

    for (unsigned i = 0; i < NAMES; i++) {
        int fd;

        snprintf(name, sizeof(name), "storm/%u", i);
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
        if (fd < 0 || write(fd, buffer, 100) != 100 || close(fd) < 0)
            die(name);
    }
    for (unsigned i = 0; i < NAMES; i++) {
        snprintf(name, sizeof(name), "storm/%u", i);
        if (unlink(name) < 0)
            die(name);
    }
}

static uint64_t run_storm(uint64_t *ret_ns)
{
    uint64_t start, count = 0;

    if (mkdir("storm", 0755) < 0)
        die("storm");
    start = now_ns();
    for (; now_ns() - start < duration_ns; count += NAMES)
        make_and_remove();
    *ret_ns = now_ns() - start;
    if (rmdir("storm") < 0)
        die("storm");
    return count;
}

/* ---- Commands ---- */

#define GIT_STATUS "git -c safe.directory=* -C tree status --short"

static const struct command {
    const char *name, *before, *run, *after;
    char drop; /* of the caches, between the runs */
} commands[] = {
    {"find", NULL, "find tree -newer ${BENCH_TAR:-/init}", NULL, '2'},
    {"git-status", GIT_STATUS, GIT_STATUS, NULL, 0},
    {"tar-x", "mkdir -p x", "tar xf ${BENCH_TAR:-/tree.tar} -C x", "rm -rf x; mkdir x", 0},
    {"build", "make -s -C project clean", "make -s -C project", "make -s -C project clean", 0},
};

static void shell(const char *line)
{
    char silent[256];

    if (!line)
        return;
    snprintf(silent, sizeof(silent), "{ %s; } >/dev/null", line);
    if (system(silent) != 0)
        die(line);
}

static uint64_t run_command(uint64_t *ret_ns)
{
    const struct command *c = commands;
    uint64_t count = 0, ns = 0;

    for (; strcmp(c->name, row); c++) {
        if (c == &commands[sizeof(commands) / sizeof(*commands) - 1])
            return run_data(ret_ns);
    }
    shell(c->before);
    while (ns < duration_ns) {
        uint64_t start;

        if (c->drop)
            drop_caches(c->drop);
        start = now_ns();
        shell(c->run);
        ns += now_ns() - start;
        count++;
        shell(c->after);
    }
    *ret_ns = ns;
    return count;
}

int main(int argc, char **argv)
{
    if (argc < 4 || !(buffer = aligned_alloc(4096, BUFFER)) || chdir(argv[3]) < 0)
        return 2;
    memset(buffer, 'y', BUFFER);
    duration_ns = strtoull(argv[1], NULL, 10) * 1000000;
    for (int i = 4; i < argc; i++) {
        uint64_t count, ns = 0;

        row = argv[i];
        count = !strcmp(row, "stat")    ? run_stat(&ns)
                : !strcmp(row, "storm") ? run_storm(&ns)
                : !strcmp(row, "map")   ? run_map(&ns)
                                        : run_command(&ns);
        printf("\nshare %s@%s count %llu ns %llu end\n", row, argv[2], (unsigned long long)count,
               (unsigned long long)ns);
        fflush(stdout);
    }
    return 0;
}
