/* SPDX-License-Identifier: MIT */
/* The initramfs of a guest whose root is a shared directory (agent/vz_init.c says what is in it). */
#ifndef VZ_TOOLS_ROOT_INITRD_H
#define VZ_TOOLS_ROOT_INITRD_H

#include <stdbool.h>

#include <vz/error.h>

struct root_initrd {
    const char *modules; /* folder of the kernel's modules, below modules_root; NULL: there is none */
    const char *modules_root;
    const char *tag;     /* of the root */
    const char *overlay; /* "tmpfs", the tag of what takes changes, or NULL: none */
    bool wait;           /* a root without an init gets no shell */
};

/* Write it to fd. False: err. */
bool root_initrd_write(const struct root_initrd *r, int fd, struct vz_error *err);

#endif
