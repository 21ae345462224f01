/* SPDX-License-Identifier: MIT */
/* `vz efi secure-boot`, `keys` and `enroll`. */
#ifndef VZ_TOOLS_CMD_EFI_KEYS_H
#define VZ_TOOLS_CMD_EFI_KEYS_H

#include <stdbool.h>

#include <vz/efi.h>

/* Say what it is; or, what being "on", "off", "setup" or "default-keys", make it so. 0 or -1; what err does not say has
 * been said. */
int efi_secure_boot(const char *store, const char *what, struct vz_error *err);

/* List the signatures of all keys. */
int efi_list_keys(const char *store, bool as_json, struct vz_error *err);

/* Add what is in file to the keys of that name. */
int efi_enroll(const char *store, const char *keys, const char *file, struct vz_error *err);

#endif
