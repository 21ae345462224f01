/* SPDX-License-Identifier: MIT */
/* What Secure Boot goes by (UEFI 2.10, 32.3 to 32.4): the platform key, who may change the others, and what may
 * start and what may not, each a variable that holds lists of signatures. Firmware changes them with a
 * signature only; here they are changed in the store of a machine that does not run, by whoever owns the
 * file. */
#ifndef VZ_EFI_EFI_KEYS_H
#define VZ_EFI_EFI_KEYS_H

#include "efi/efi_variables.h"

enum efi_keys { EFI_PK, EFI_KEK, EFI_DB, EFI_DBX, EFI_KEYS_COUNT };

enum efi_secure_boot {
    EFI_SETUP_MODE, /* no platform key: all may start, and be changed */
    EFI_SWITCHED_OFF,
    EFI_IN_FORCE,
};

/* All: 0 or more, or -errno: as efi_variable_set(). */

/* An enum efi_secure_boot. What firmware finds at the machine's next start. */
int efi_secure_boot_state(const struct efi_store *s) must_check;
/* Of a store with a platform key: -ENOKEY: it has none. */
int efi_secure_boot_switch(struct efi_store *s, bool on) must_check;
/* No platform key any more; the others stay. */
int efi_secure_boot_reset(struct efi_store *s) must_check;

/* Add what data has: a certificate (X.509, DER), lists of signatures (32.4.1), or the SHA-256 of a
 * program, as 32 bytes or 64 digits. Of the platform key there is one: it takes the place of the old.
 * What is there already is left out. Returns how many were added; -EBADMSG: data is none of these;
 * -EMEDIUMTYPE: not for these keys, which are certificates. */
int efi_keys_add(struct efi_store *s, enum efi_keys keys, const uint8_t *data, uint32_t len) must_check;

/* Add those of another store. */
int efi_keys_add_from(struct efi_store *s, enum efi_keys keys, const struct efi_store *from) must_check;

struct efi_signature {
    bool certificate; /* else a SHA-256, or another hash */
    const uint8_t *owner; /* a GUID, as in memory */
    const uint8_t *data;
    uint32_t len;
};

/* Call fn for each. Returns 0; -EINVAL: damaged. */
int efi_keys_each(const struct efi_store *s, enum efi_keys keys,
                  void (*fn)(void *arg, const struct efi_signature *one), void *arg) must_check;

#endif
