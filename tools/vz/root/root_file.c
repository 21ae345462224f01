/* SPDX-License-Identifier: MIT */
#include "root/root_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int root_file_open(const char *root, const char *inside, int flags)
{
    const struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC),
                                 .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = top < 0 ? -errno : (int)syscall(SYS_openat2, top, inside, &how, sizeof(how));
    struct stat st;

    if (top >= 0 && fd < 0)
        fd = -errno;
    if (top >= 0)
        close(top);
    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        return -EINVAL;
    }
    return fd;
}
