/* SPDX-License-Identifier: MIT */
/* UEFI firmware as distributions package EDK2's OVMF: two files that make one flash chip which ends at
 * 4 GiB. The lower one is where firmware keeps its variables, and has a template; the upper one has
 * the code, which knows the address of the lower. So only files of one build go together. */
#ifndef VZ_EFI_EFI_FIRMWARE_H
#define VZ_EFI_EFI_FIRMWARE_H

#include "base/compiler.h"

struct vz_error;

#define EFI_CODE_MAX      (8 * MIB)
#define EFI_VARIABLES_MAX (1 * MIB)

struct efi_firmware {
    char *code, *variables; /* paths: of the code, and of the template */
    uint64_t code_len, variables_len;
    bool smm; /* the code guards variables in System Management Mode */
};

/* The firmware to use with variables of so many bytes (0: with any), which is code where that is not
 * NULL, else the first that is installed where distributions put it. With secure one that can do
 * Secure Boot, and a template with the keys that the distribution trusts. 0; -ENOENT: none is; or another
 * -errno, with err. efi_firmware_fini() if 0. */
int efi_firmware_find(const char *code, uint64_t variables_len, bool secure, struct efi_firmware *ret,
                      struct vz_error *err) must_check;
void efi_firmware_fini(struct efi_firmware *f);

/* Do code and variables of these sizes make a flash chip? */
bool efi_sizes_fit(uint64_t code_len, uint64_t variables_len);

/* Are these len bytes a firmware volume (PI 1.7, volume 3, 3.2.1) of variables, all of it? */
bool efi_is_variables(const uint8_t *data, uint64_t len);

#endif
