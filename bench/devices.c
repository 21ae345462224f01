/* SPDX-License-Identifier: MIT */
/* The guest's part of the devices' benchmark: devices MILLISECONDS PORT ROW...
 *
 * The same static program drives the same Linux drivers in vz and in QEMU. Every row warms up, then
 * works for so long (by CLOCK_MONOTONIC), and prints
 *
 *     dev NAME bytes B requests R ns T irqs I end
 *
 * after "dev NAME begin". irqs are those that /proc/interrupts counts for virtio devices and ttyS0.
 * The other ends of the streams (bench/devices.py) are told by one byte: 'r', send without end;
 * 'w', read up to the end, then close. PORT is that of TCP at the gateway and of AF_VSOCK. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/vm_sockets.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (8u << 20)
#define WARM_UP_NS 200000000u
#define DEPTH_MAX 32

static uint64_t duration_ns;
static uint16_t port;
static char *buffer; /* aligned, for O_DIRECT */

/* What a row has done since its clock started. */
static struct meter {
    const char *name;
    uint64_t warm_until, start, irqs, bytes, requests;
} meter;

static void die(const char *what)
{
    printf("dev %s failed: %s: %s\n", meter.name ? meter.name : "?", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t count_irqs(void)
{
    FILE *f = fopen("/proc/interrupts", "r");
    char line[1024];
    uint64_t sum = 0;

    if (!f)
        die("/proc/interrupts");
    while (fgets(line, sizeof(line), f)) {
        char *p = strchr(line, ':'), *end;

        if (!p || (!strstr(line, "virtio") && !strstr(line, "ttyS0")))
            continue;
        for (p++;; p = end) {
            uint64_t n = strtoull(p, &end, 10);

            if (end == p)
                break;
            sum += n;
        }
    }
    fclose(f);
    return sum;
}

static void meter_begin(const char *name)
{
    printf("dev %s begin\n", name);
    fflush(stdout);
    meter = (struct meter){.name = name, .warm_until = now_ns() + WARM_UP_NS};
}

/* One request is done; true when the time is over. The clock starts behind the warm-up. */
static bool meter_add(uint64_t bytes)
{
    uint64_t now = now_ns();

    if (!meter.start) {
        if (now >= meter.warm_until) {
            meter.irqs = count_irqs();
            meter.start = now_ns();
        }
        return false;
    }
    meter.bytes += bytes;
    meter.requests++;
    return now - meter.start >= duration_ns;
}

static void meter_end(void)
{
    uint64_t ns = now_ns() - meter.start, irqs = count_irqs() - meter.irqs;

    printf("\ndev %s bytes %llu requests %llu ns %llu irqs %llu end\n", meter.name,
           (unsigned long long)meter.bytes, (unsigned long long)meter.requests,
           (unsigned long long)ns, (unsigned long long)irqs);
    fflush(stdout);
}

/* ---- the disk ---- */

struct disk_job {
    int fd;
    bool writes, random;
    unsigned depth;
    size_t size;
    uint64_t units, next;
};

static off_t disk_next(struct disk_job *j)
{
    j->next = j->random ? j->next * 6364136223846793005u + 1442695040888963407u : j->next + 1;
    return (off_t)((j->random ? j->next >> 20 : j->next) % j->units * j->size);
}

static void disk_one_by_one(struct disk_job *j)
{
    ssize_t n;

    do {
        off_t at = disk_next(j);

        n = j->writes ? pwrite(j->fd, buffer, j->size, at) : pread(j->fd, buffer, j->size, at);
        if (n != (ssize_t)j->size)
            die("transfer");
    } while (!meter_add(j->size));
}

static void disk_in_parallel(struct disk_job *j)
{
    struct iocb cb[DEPTH_MAX] = {0}, *list[DEPTH_MAX];
    struct io_event events[DEPTH_MAX];
    aio_context_t ctx = 0;
    long n = j->depth;
    bool over = false;

    if (syscall(SYS_io_setup, j->depth, &ctx) < 0)
        die("io_setup");
    for (unsigned i = 0; i < j->depth; i++) {
        cb[i].aio_lio_opcode = j->writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
        cb[i].aio_fildes = (uint32_t)j->fd;
        cb[i].aio_buf = (uintptr_t)(buffer + i * j->size);
        cb[i].aio_nbytes = j->size;
        list[i] = &cb[i];
    }
    while (!over) {
        for (long i = 0; i < n; i++)
            list[i]->aio_offset = disk_next(j);
        for (long done = 0, k; done < n; done += k) {
            k = syscall(SYS_io_submit, ctx, n - done, list + done);
            if (k <= 0)
                die("io_submit");
        }
        n = syscall(SYS_io_getevents, ctx, 1, j->depth, events, NULL);
        if (n < 0)
            die("io_getevents");
        for (long i = 0; i < n; i++) {
            if (events[i].res != (int64_t)j->size)
                die("transfer");
            list[i] = (struct iocb *)(uintptr_t)events[i].obj;
            over |= meter_add(j->size);
        }
    }
    syscall(SYS_io_destroy, ctx); /* waits for those on their way */
}

/* NAME: seq or rand, read or write, size in KiB, depth: "rand-read-4k-32", of vda; "rand-read-4k-32@nvme0n1" */
static bool run_disk(const char *name)
{
    char order[5], way[6], disk[32] = "/dev/vda";
    const char *other = strchr(name, '@');
    unsigned kib, depth;
    uint64_t bytes;
    struct disk_job j;

    if (sscanf(name, "%4[a-z]-%5[a-z]-%uk-%u", order, way, &kib, &depth) != 4 || !depth ||
        depth > DEPTH_MAX || kib * 1024 * depth > BUFFER)
        return false;
    j = (struct disk_job){.writes = way[0] == 'w', .random = order[0] == 'r', .depth = depth,
                          .size = kib * 1024};
    if (other)
        snprintf(disk, sizeof(disk), "/dev/%s", other + 1);
    j.fd = open(disk, O_RDWR | O_DIRECT);
    if (j.fd < 0 || ioctl(j.fd, BLKGETSIZE64, &bytes) < 0)
        die(disk);
    j.units = bytes / j.size;
    if (depth > 1)
        disk_in_parallel(&j);
    else
        disk_one_by_one(&j);
    meter_end();
    close(j.fd);
    return true;
}

/* ---- streams ---- */

static int open_stream(const char *name)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port),
                             .sin_addr.s_addr = inet_addr("10.0.2.2")};
    struct sockaddr_vm vm = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port};
    bool is_nat = !strncmp(name, "nat", 3);
    int fd = socket(is_nat ? AF_INET : AF_VSOCK, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, is_nat ? (struct sockaddr *)&in : (struct sockaddr *)&vm,
                          is_nat ? sizeof(in) : sizeof(vm)) < 0)
        die("connect");
    return fd;
}

static void run_stream(const char *name)
{
    int fd = open_stream(name);
    bool reads = strstr(name, "-in");
    ssize_t n;

    if (write(fd, reads ? "r" : "w", 1) != 1)
        die("write");
    do {
        n = reads ? read(fd, buffer, 256 << 10) : write(fd, buffer, 256 << 10);
        if (n <= 0)
            die("transfer");
    } while (!meter_add((uint64_t)n));
    if (!reads) { /* until the other end has all of it */
        shutdown(fd, SHUT_WR);
        if (read(fd, buffer, 1) != 0)
            die("no end");
    }
    meter_end();
    close(fd);
}

/* ---- consoles ---- */

static void run_console(const char *name)
{
    bool is_serial = !strncmp(name, "serial", 6), reads = strstr(name, "-in");
    int fd = open(is_serial ? "/dev/ttyS0" : "/dev/hvc0", O_RDWR | O_NOCTTY), left = 0;
    struct termios t;
    ssize_t n;

    if (fd < 0 || tcgetattr(fd, &t) < 0)
        die("console");
    if (!is_serial) { /* ttyS0 is where we print: leave it as it is */
        cfmakeraw(&t);
        tcsetattr(fd, TCSANOW, &t);
    }
    memset(buffer, 'x', 4096);
    do {
        n = reads ? read(fd, buffer, 4096) : write(fd, buffer, is_serial ? 64 : 4096);
        if (n <= 0)
            die("transfer");
    } while (!meter_add((uint64_t)n));
    if (!reads && !ioctl(fd, TIOCOUTQ, &left) && left > 0)
        meter.bytes -= (uint64_t)left < meter.bytes ? (uint64_t)left : meter.bytes;
    meter_end();
    close(fd);
}

static void run(const char *name)
{
    meter_begin(name);
    if (!strncmp(name, "nat", 3) || !strncmp(name, "vsock", 5))
        run_stream(name);
    else if (!strncmp(name, "hvc", 3) || !strncmp(name, "serial", 6))
        run_console(name);
    else if (!run_disk(name))
        die("no such row");
}

int main(int argc, char **argv)
{
    if (argc < 3 || !(buffer = aligned_alloc(4096, BUFFER)))
        return 2;
    memset(buffer, 'y', BUFFER);
    duration_ns = strtoull(argv[1], NULL, 10) * 1000000;
    port = (uint16_t)atoi(argv[2]);
    for (int i = 3; i < argc; i++)
        run(argv[i]);
    return 0;
}
