/* SPDX-License-Identifier: MIT */
/* Files without a name: see disk_scratch.h. */
#include "block/disk_scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

/* For file systems without O_TMPFILE. */
static int make_and_unlink(const char *folder)
{
    char path[PATH_MAX];
    int fd;

    if (snprintf(path, sizeof(path), "%s/vz-disk.XXXXXX", folder) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

int disk_scratch_file(struct vz_error *err)
{
    const char *folder = getenv("TMPDIR");
    int fd;

    if (!folder || !folder[0])
        folder = "/var/tmp";
    fd = open(folder, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = make_and_unlink(folder);
    if (fd < 0)
        return error_set(err, -fd, VZ_ERROR_IO, "%s: cannot make a file there: %s", folder,
                         strerror(-fd));
    return fd;
}
