/* SPDX-License-Identifier: MIT */
/* Interpreters for programs of other processors, and what a share of them consists of: the contract of
 * docs/foreign-binaries.md. */
#ifndef VZ_CONFIG_FOREIGN_BINARIES_H
#define VZ_CONFIG_FOREIGN_BINARIES_H

#include <limits.h>

#include "base/compiler.h"
#include "config/objects.h"

#define FOREIGN_ARCHITECTURES "arm64, armhf, i386, ppc64le, riscv64 or s390x" /* for people */

/* A file of the share that is one of the host's. */
struct foreign_file {
    char name[32], path[PATH_MAX];
};

struct foreign_files {
    unsigned count;
    struct foreign_file *file;
    char *registrations;  /* the text of the file of that name, as the next two */
    const char *register_script, *version;
};

/* What the guest finds in a share of interpreters. 0; or -errno with err: one is not there, or is not one that can be
 * shared. */
int foreign_files_find(const struct vz_directory_share *share, struct foreign_files *ret, struct vz_error *err) must_check;
void foreign_files_fini(struct foreign_files *f);

/* The checks of the whole share, for its table; and of one name. */
void foreign_check(struct report *r, const void *share);
void foreign_check_name(struct report *r, const void *choice);

#endif
