/* SPDX-License-Identifier: MIT */
/* The magic numbers of disk images: see disk_format.h. Called by whoever opens a disk. */
#include "base/disk_format.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define FOOTER    512 /* where off counts from the end */
#define ISO_MAGIC 0x8001u

static const struct known_format {
    bool at_end; /* in the last 512 bytes, at off of these */
    unsigned off;
    unsigned len;
    const char *magic;
    const char *name;
} formats[] = {
    {false, 0, 4, "QFI\xfb", "qcow2"},
    {false, 0, 4, "QED\0", "QED"},
    {false, 0, 4, "KDMV", "VMDK"},
    {false, 0, 4, "COWD", "VMDK"},
    {false, 0, 21, "# Disk DescriptorFile", "VMDK"},
    {false, 0, 8, "vhdxfile", "VHDX"},
    {false, 0, 8, "conectix", "VHD"},
    {true, 0, 8, "conectix", "VHD"},
    {false, 0x40, 4, "\x7f\x10\xda\xbe", "VDI"},
    {false, 0, 16, "WithoutFreeSpace", "Parallels"},
    {false, 0, 16, "WithouFreSpacExt", "Parallels"},
    {true, 0, 4, "koly", "DMG"},
};

static bool has_at(int fd, off_t off, const char *magic, unsigned len)
{
    char got[32];

    return off >= 0 && pread(fd, got, len, off) == (ssize_t)len && !memcmp(got, magic, len);
}

/* The format's name alone; NULL: raw or ISO, as far as one can see. */
static const char *format_name(int fd)
{
    off_t was = lseek(fd, 0, SEEK_CUR), end = lseek(fd, 0, SEEK_END);

    (void)lseek(fd, was, SEEK_SET);
    for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
        const struct known_format *f = &formats[i];

        if (has_at(fd, (f->at_end ? end - FOOTER : 0) + f->off, f->magic, f->len))
            return f->name;
    }
    return NULL;
}

bool disk_format_problem(int fd, bool read_only, char ret[DISK_FORMAT_TEXT_MAX])
{
    const char *name = format_name(fd);

    if (name && !strcmp(name, "qcow2"))
        snprintf(ret, DISK_FORMAT_TEXT_MAX, "looks like a qcow2 image, but is not named .qcow2: format=qcow2 "
                 "if it is one, format=raw if it is the raw disk of a guest that wrote this there");
    else if (name)
        snprintf(ret, DISK_FORMAT_TEXT_MAX, "is a %s image, not a raw one: 'qemu-img convert -O raw' "
                 "makes it one (format=raw takes its bytes as they are)", name);
    else if (!read_only && has_at(fd, ISO_MAGIC, "CD001", 5))
        snprintf(ret, DISK_FORMAT_TEXT_MAX, "is an ISO image, which the guest could write to: say "
                 "ro, or format=raw if it may");
    else
        return false;
    return true;
}

bool disk_format_is_named_qcow2(const char *path)
{
    size_t len = path ? strlen(path) : 0;

    return len > 6 && !strcasecmp(path + len - 6, ".qcow2");
}

bool disk_format_choose(int fd, const char *path, bool read_only, enum disk_format *format,
                        char ret[DISK_FORMAT_TEXT_MAX])
{
    const char *name;

    if (*format != DISK_FORMAT_AUTOMATIC)
        return false;
    *format = DISK_FORMAT_RAW;
    if (!disk_format_is_named_qcow2(path))
        return disk_format_problem(fd, read_only, ret);
    name = format_name(fd);
    if (name && !strcmp(name, "qcow2")) {
        *format = DISK_FORMAT_QCOW2;
        return false;
    }
    /* As a raw one, its guest could make it one that is read as qcow2 at the next start. */
    snprintf(ret, DISK_FORMAT_TEXT_MAX, "is named .qcow2, but is %s%s: format=raw takes its bytes as "
             "they are", name ? "a " : "no qcow2 image", name ? name : "");
    return true;
}
