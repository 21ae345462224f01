/* SPDX-License-Identifier: MIT */
/* Disk images in formats that are not raw, told by their magic numbers: taken as raw one would be
 * noise to its guest, and what the guest writes would destroy it. No format is ever read only because
 * an image looks like it: a guest can write any magic to its own disk. Its name must say so too. */
#ifndef VZ_BASE_DISK_FORMAT_H
#define VZ_BASE_DISK_FORMAT_H

#include "base/compiler.h"

/* Room for what disk_format_problem() says. */
#define DISK_FORMAT_TEXT_MAX 200

/* Is what is open for reading as fd something else than a raw disk? Then true, and ret is a
 * sentence without its subject that names the format and what to do. An ISO image is a problem only
 * where it is going to be written. What cannot be read is no problem here. Any thread; the
 * descriptor's position stays. */
bool disk_format_problem(int fd, bool read_only, char ret[DISK_FORMAT_TEXT_MAX]) must_check;

enum disk_format { /* as enum vz_disk_format */
    DISK_FORMAT_AUTOMATIC,
    DISK_FORMAT_RAW,
    DISK_FORMAT_QCOW2,
};

/* What is *format, if it is AUTOMATIC, of what is open for reading as fd, by content and path's end
 * (NULL: no name)? True and a sentence in ret where that cannot be said. Set to RAW or QCOW2. */
bool disk_format_choose(int fd, const char *path, bool read_only, enum disk_format *format,
                        char ret[DISK_FORMAT_TEXT_MAX]) must_check;

/* Does the name end in .qcow2? path may be NULL. */
bool disk_format_is_named_qcow2(const char *path);

#endif
