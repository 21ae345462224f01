/* SPDX-License-Identifier: MIT */
#include <vz/boot_loader.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/config_impl.h"

OBJECT_DEFINE_COUNTED(boot_loader);

static void destroy(void *object)
{
    struct vz_boot_loader *b = object;

    free(b->kernel);
    free(b->initrd);
    free(b->cmdline);
    free(b->disk);
}

struct vz_boot_loader *
vz_linux_boot_loader_new(const struct vz_linux_boot_loader_options *options, struct vz_error *err)
{
    struct vz_linux_boot_loader_options o = VZ_LINUX_BOOT_LOADER_OPTIONS_INIT;
    struct vz_boot_loader *b;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    b = object_new(sizeof(*b), destroy, err);
    if (!b)
        return NULL;
    if (o.disk && (o.kernel || o.initrd)) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "kernel or initrd given, and a disk to read them from");
        goto fail;
    }
    if (o.disk)
        b->disk = options_text(o.disk, "disk", err);
    else
        b->kernel = options_text(o.kernel, "kernel", err);
    if (!b->kernel && !b->disk)
        goto fail;
    b->initrd = o.initrd ? strdup(o.initrd) : NULL;
    b->cmdline = strdup(o.cmdline ? o.cmdline : "");
    if (!b->cmdline || (o.initrd && !b->initrd)) {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        goto fail;
    }
    return b;
fail:
    vz_boot_loader_unref(b);
    return NULL;
}
