/* SPDX-License-Identifier: MIT */
/* What can only be found out by trying; see host_facts.h. Nothing stays behind. */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/program_file.h"
#include "host/host_facts.h"
#include "sandbox/sandbox_files.h"
#include "sandbox/sandbox_world.h"
#include "stub/stub.h"

static int try_open(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static int try_io_uring(void)
{
    struct io_uring_params p = {0};
    int fd = (int)syscall(SYS_io_uring_setup, 4, &p);

    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

/* As the software CPU's translator does: the same memory once to write, once to run. */
static int try_code(void)
{
    int fd = memfd_create("vz-doctor", MFD_CLOEXEC), error = 0;
    void *p = MAP_FAILED;

    if (fd < 0)
        return errno;
    if (ftruncate(fd, 4096) == 0)
        p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        error = errno;
    else
        munmap(p, 4096);
    close(fd);
    return error;
}

static int try_ping(int type)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, IPPROTO_ICMP);

    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static int try_cpuid(void)
{
    struct host_cpuid c = {0};
    unsigned a, b, d, ecx;

    if (__get_cpuid(1, &a, &b, &ecx, &d))
        c.ecx_1 = ecx;
    if (__get_cpuid_count(7, 0, &a, &b, &ecx, &d))
        c.ebx_7 = b;
    if (__get_cpuid(0x80000001, &a, &b, &ecx, &d))
        c.ecx_80000001 = ecx;
    if (c.ecx_1 & bit_OSXSAVE) {
        __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
        c.xcr0 = a | (uint64_t)d << 32;
    }
    return host_isa_level(&c);
}

/* As a machine's programs would run in one. */
static void try_stub(struct host_facts *f)
{
    int ram = memfd_create("vz-doctor", MFD_CLOEXEC), ram_ro = -1;
    const struct stub_probe *probe;
    struct stub_host *host;
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", ram);
    if (ram >= 0)
        ram_ro = open(path, O_RDONLY | O_CLOEXEC);
    if (ram_ro < 0) {
        snprintf(f->direct_why, sizeof(f->direct_why), "a memory file is refused, or /proc is not there: %s",
                 strerror(errno));
    } else if (stub_host_create(&host, &(struct stub_host_options){.ram = ram, .ram_ro = ram_ro, .threads = 1},
                                f->direct_why) == 0) {
        probe = stub_host_probe(host);
        snprintf(f->direct_why, sizeof(f->direct_why), "%s", probe->why);
        if (probe->works)
            f->direct_trap_ns = probe->round_trip_ns;
        f->direct_cpuid_faults = probe->cpuid_faults;
        stub_host_destroy(host);
    }
    if (ram_ro >= 0)
        close(ram_ro);
    if (ram >= 0)
        close(ram);
}

/* May what is in a memory file be executed? (vm.memfd_noexec, or no /proc to name it by.) */
static int try_program(void)
{
    static const uint8_t text[] = "#!/bin/sh\n";
    int fd = program_file("vz-doctor", text, sizeof(text) - 1), r = fd < 0 ? -fd : 0;
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (!r && access(path, X_OK) < 0)
        r = errno;
    if (fd >= 0)
        close(fd);
    return r;
}

static int try_filters(void)
{
    uint32_t trap = SECCOMP_RET_TRAP;

    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &trap) < 0 ? errno : 0;
}

void host_facts_try(struct host_facts *f)
{
    f->kvm.open_error = try_open("/dev/kvm");
    f->tun.open_error = try_open("/dev/net/tun");
    f->io_uring_error = try_io_uring();
    f->jit_error = try_code();
    f->isa_level = try_cpuid();
    try_stub(f);
    f->seccomp_error = try_filters();
    f->landlock = sandbox_files_level();
    f->namespaces = sandbox_world_try();
    f->program_error = try_program();
    f->ping_error = try_ping(SOCK_DGRAM);
    f->raw_error = try_ping(SOCK_RAW);
}
