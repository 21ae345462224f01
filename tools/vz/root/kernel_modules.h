/* SPDX-License-Identifier: MIT */
/* Linux's drivers as files: found in a folder of modules, with those that they need, and unpacked. */
#ifndef VZ_TOOLS_KERNEL_MODULES_H
#define VZ_TOOLS_KERNEL_MODULES_H

#include <stdbool.h>
#include <stddef.h>

#include <vz/error.h>

struct kernel_module {
    char name[64];
    void *data; /* an ELF file */
    size_t len;
};

/* Those of the kernel whose modules are in folder ("lib/modules/VERSION") of root; the rest is zero at first. root may
 * be a guest's work: no link in it leads out of it, and what modules say of each other is bounded. */
struct kernel_modules {
    const char *root, *folder;
    char *files; /* the paths of what is there, each with a NUL behind it: files_len bytes; NULL: not looked at yet */
    size_t files_len;
    struct kernel_module *list; /* in the order in which they can be loaded */
    unsigned count;
    unsigned looks; /* how many were looked for */
};

/* Add a driver, after those that it depends on. One that has no file there is taken for a part of the kernel. False:
 * err. */
bool kernel_modules_add(struct kernel_modules *m, const char *name, struct vz_error *err);
void kernel_modules_fini(struct kernel_modules *m);

#endif
