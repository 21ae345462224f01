/* SPDX-License-Identifier: MIT */
/* A cpio archive ("newc", Linux's buffer-format.rst). */
#include "root/root_initrd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "create/helper_file.h"
#include "failure.h"
#include "root/kernel_modules.h"

/* What leads to the root, to the agent, and to the network of a root without an init. Those that depend on others bring
 * them along. */
static const char *const drivers[] = {"virtio_pci", "virtiofs", "vmw_vsock_virtio_transport", "virtio_net"};

static void pad(FILE *to, size_t len)
{
    fwrite("\0\0\0", 1, -len & 3, to);
}

static void put(FILE *to, const char *path, mode_t mode, const void *data, size_t len, unsigned rdev_major,
                unsigned rdev_minor)
{
    /* inode (which tells hard links, of which there are none), mode, uid, gid, links, mtime, size, device (2), what it stands for (2), the name's length, sum */
    fprintf(to, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 0, (unsigned)mode, 0, 0, 1, 0,
            (unsigned)len, 0, 0, rdev_major, rdev_minor, (unsigned)strlen(path) + 1, 0);
    fwrite(path, 1, strlen(path) + 1, to);
    pad(to, 110 + strlen(path) + 1);
    fwrite(data, 1, len, to);
    pad(to, len);
}

static bool put_helper(FILE *to, const char *path, const struct helper_place *place, struct vz_error *err)
{
    char *file = helper_file(place, err), *data;
    size_t len;

    data = file ? cli_read_file(file, &len, err) : NULL;
    if (data)
        put(to, path, S_IFREG | 0755, data, len, 0, 0);
    free(data);
    free(file);
    return data;
}

static bool put_modules(FILE *to, const struct root_initrd *r, struct vz_error *err)
{
    struct kernel_modules m = {.root = r->modules_root, .folder = r->modules};
    bool ok = true;
    char path[32];

    for (size_t i = 0; ok && i < sizeof(drivers) / sizeof(drivers[0]); i++)
        ok = kernel_modules_add(&m, drivers[i], err);
    if (ok && r->overlay)
        ok = kernel_modules_add(&m, "overlay", err);
    put(to, "mod", S_IFDIR | 0755, "", 0, 0, 0);
    for (unsigned i = 0; ok && i < m.count; i++) {
        snprintf(path, sizeof(path), "mod/%02u", i);
        put(to, path, S_IFREG | 0644, m.list[i].data, m.list[i].len, 0, 0);
    }
    kernel_modules_fini(&m);
    return ok;
}

bool root_initrd_write(const struct root_initrd *r, int fd, struct vz_error *err)
{
    int copy = dup(fd);
    FILE *to = copy < 0 ? NULL : fdopen(copy, "w");
    char conf[256];
    bool ok;

    if (!to)
        return fail_false(err, VZ_ERROR_NO_MEMORY, "out of file descriptors");
    snprintf(conf, sizeof(conf), "tag %s\n%s%s%s%s", r->tag, r->overlay ? "overlay " : "", r->overlay ? r->overlay : "",
             r->overlay ? "\n" : "", r->wait ? "wait\n" : "");
    put(to, "dev", S_IFDIR | 0755, "", 0, 0, 0);
    put(to, "dev/console", S_IFCHR | 0600, "", 0, 5, 1);
    put(to, "root.conf", S_IFREG | 0644, conf, strlen(conf), 0, 0);
    ok = put_helper(to, "init", &helper_init, err) && put_helper(to, "agent", &helper_agent, err) &&
         (!r->modules || put_modules(to, r, err));
    put(to, "TRAILER!!!", 0, "", 0, 0, 0);
    if (fclose(to) != 0 && ok)
        ok = fail_errno(err, "initramfs") == 0;
    return ok;
}
