/* SPDX-License-Identifier: MIT */
#include "base/program_file.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u /* Linux 6.3 */
#endif

int program_file(const char *name, const uint8_t *image, size_t len)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_EXEC);
    size_t done = 0;

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    while (done < len) {
        ssize_t n = write(fd, image + done, len - done);

        if (n <= 0) {
            n = n < 0 ? -errno : -EIO;
            close(fd);
            return (int)n;
        }
        done += (size_t)n;
    }
    return fd;
}
