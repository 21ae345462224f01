/* SPDX-License-Identifier: MIT */
/* A variable store: the flash bank in which firmware keeps its variables, as a file of the same bytes.
 *
 * What the guest programs or erases reaches the file at once and in order, so a killed process leaves
 * what flash would have held, and firmware's own fault tolerant writes hold; sync makes it last. */
#ifndef VZ_EFI_EFI_STORE_H
#define VZ_EFI_EFI_STORE_H

#include "base/compiler.h"

struct vz_error;

struct efi_store {
    uint8_t *data; /* what was in it when it was opened */
    uint32_t len;
    int fd;        /* the file; -1: it is nowhere else */
    char *path;
    bool failed;   /* a write has failed, and was told of */
};

/* Make the file path of what template (a path) holds. It appears whole, or not at all. -EEXIST: it is
 * there, and overwrite is false. 0 or -errno, with err. */
int efi_store_create(const char *path, const char *template, bool overwrite,
                     struct vz_error *err) must_check;

/* Open and lock the file path; or, NULL, what template holds, which changes in memory only. 0 or -errno,
 * with err; efi_store_close() if 0. */
int efi_store_open(const char *path, const char *template, struct efi_store *ret,
                   struct vz_error *err) must_check;
void efi_store_close(struct efi_store *s);

/* Have bytes at [at, at + len) of the file. All of them at once, as a restore has them, replace what was there also if the
 * process is killed meanwhile: whoever opens the file next finds the old or the new. 0 or -errno. */
int efi_store_write(struct efi_store *s, uint32_t at, const uint8_t *bytes, uint32_t len) must_check;
void efi_store_sync(struct efi_store *s);

#endif
