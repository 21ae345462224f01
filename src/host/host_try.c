/* SPDX-License-Identifier: MIT */
/* What can only be found out by trying; see host_facts.h. Nothing stays behind. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/host_facts.h"

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

void host_facts_try(struct host_facts *f)
{
    f->kvm.open_error = try_open("/dev/kvm");
    f->tun.open_error = try_open("/dev/net/tun");
    f->io_uring_error = try_io_uring();
    f->jit_error = try_code();
    f->ping_error = try_ping(SOCK_DGRAM);
    f->raw_error = try_ping(SOCK_RAW);
}
