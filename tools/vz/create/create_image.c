/* SPDX-License-Identifier: MIT */
/* A machine from an image: of a disk, raw or qcow2, or of a CD, from which a system is installed. */
#include "create/create.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <vz/disk.h>

#include "bundle/copy.h"
#include "failure.h"
#include "progress.h"

static bool has_magic(const char *path, const char *magic, off_t at)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char data[16];
    size_t len = strlen(magic);
    bool has = fd >= 0 && pread(fd, data, len, at) == (ssize_t)len && !memcmp(data, magic, len);

    if (fd >= 0)
        close(fd);
    return has;
}

/* Cloud images are often qcow2 by another name. Here that is no danger: the image is only read. */
static enum vz_disk_format format_of(const char *path)
{
    return has_magic(path, "QFI\xfb", 0) ? VZ_DISK_FORMAT_QCOW2 : VZ_DISK_FORMAT_AUTOMATIC;
}

static bool show(void *arg, uint64_t done, uint64_t total)
{
    return progress_show(arg, done, total);
}

/* Compressed by something that disks are not made of. */
static const char *compression(const char *path)
{
    return has_magic(path, "\xfd" "7zXZ", 0) ? "xz -d"
         : has_magic(path, "\x1f\x8b", 0) ? "gzip -d"
         : has_magic(path, "\x28\xb5\x2f\xfd", 0) ? "zstd -d" : NULL;
}

static bool grow(const char *disk, uint64_t bytes, struct vz_error *err)
{
    struct vz_disk_options raw = VZ_DISK_OPTIONS_INIT;

    raw.format = VZ_DISK_FORMAT_RAW;
    if (!bytes || vz_disk_resize(disk, bytes, false, &raw, err) == 0)
        return true;
    if (err && strstr(err->text, "would lose its end"))
        fail(err, VZ_ERROR_INVALID, "--disk: is smaller than what the image has");
    return false;
}

/* The working folder is the draft's. */
static bool convert(const char *from, uint64_t bytes, struct vz_error *err)
{
    struct vz_disk_create_options to = VZ_DISK_CREATE_OPTIONS_INIT;
    struct vz_disk_options o = VZ_DISK_OPTIONS_INIT;
    struct progress p;

    progress_begin(&p, from);
    o.format = format_of(from);
    o.progress = show;
    o.arg = &p;
    to.format = VZ_DISK_FORMAT_RAW;
    if (vz_disk_convert(from, CREATE_DISK, &o, &to, err) < 0) {
        progress_end(&p);
        return false;
    }
    progress_end(&p);
    return grow(CREATE_DISK, bytes, err);
}

#define INSTALL_BYTES ((uint64_t)20 << 30) /* as sparse as what is installed leaves it */

/* An empty disk, and the disc, which is the machine's own: it may be wanted again. */
static bool prepare_installation(const struct bundle *draft, const char *from, uint64_t bytes, struct vz_error *err)
{
    struct progress p;
    bool ok;

    if (bundle_has(draft, CREATE_SEED))
        return fail_false(err, VZ_ERROR_UNSUPPORTED,
                          "%.100s: is a CD image, whose installer asks itself: it heeds no --user, --packages and the like", from);
    progress_begin(&p, from);
    ok = copy_file(AT_FDCWD, from, draft->fd, CREATE_DISC, show, &p, err) == 0;
    progress_end(&p);
    return ok && vz_disk_create(CREATE_DISK, bytes ? bytes : INSTALL_BYTES, NULL, err) == 0;
}

bool image_make(const struct bundle *draft, const char *from, uint64_t bytes, const struct args *a,
                struct vz_error *err)
{
    const char *how = compression(from);

    if (access(from, R_OK) < 0)
        return fail_errno(err, from) == 0;
    if (has_magic(from, "CD001", 0x8001))
        return prepare_installation(draft, from, bytes, err);
    if (how)
        return fail_false(err, VZ_ERROR_UNSUPPORTED, "%.120s: is compressed; decompress it first (%s)", from,
                          how);
    return convert(from, bytes, err);
}
