/* SPDX-License-Identifier: MIT */
/* The variables in a store (edk2, MdeModulePkg/Include/Guid/VariableFormat.h): one behind the other, each with
 * a state whose bits are cleared one by one, so that a write that is cut off at any point leaves the old
 * variable or the new one. Changes here are made in that order, too. */
#ifndef VZ_EFI_EFI_VARIABLES_H
#define VZ_EFI_EFI_VARIABLES_H

#include "efi/efi_store.h"

struct efi_guid {
    uint8_t bytes[16]; /* as in memory: the first three numbers are little-endian */
};

struct efi_variable {
    const uint8_t *name; /* UTF-16, little-endian, name_len bytes with the final 0 */
    uint32_t name_len;
    struct efi_guid guid;
    uint32_t attributes; /* UEFI 2.10, 8.2 */
    const uint8_t *data;
    uint32_t len;
    uint32_t at; /* where it is in the store */
};

/* The first variable (at 0), or the one behind *v, in *v. 1: there is one; 0: there is none; -EINVAL: the
 * store is damaged from there on. Points into the store. */
int efi_variable_next(const struct efi_store *s, struct efi_variable *v) must_check;

/* The variable of that name, which is UTF-16 as above. 1, 0 or -EINVAL. guid may be ret's own. */
int efi_variable_find(const struct efi_store *s, const uint8_t *name, uint32_t name_len,
                      const struct efi_guid *guid, struct efi_variable *ret) must_check;

/* Have it hold these bytes, in place of what it held. v's name, guid, attributes, data and len. 0; -ENOSPC: no
 * room is left until firmware makes some, at its next start; -EINVAL: damaged; -errno of the file. */
int efi_variable_set(struct efi_store *s, const struct efi_variable *v) must_check;

/* Take it away: v was found here. 0 or -errno. */
int efi_variable_delete(struct efi_store *s, const struct efi_variable *v) must_check;

#endif
