/* SPDX-License-Identifier: MIT */
/* Stores of UEFI variables: make one; look at what is in it and change that while no machine uses it.
 * What `vz efi` does. Apple's: VZEFIVariableStore. Threads: any. Everything blocks until it is done. */
#ifndef VZ_EFI_H
#define VZ_EFI_H

#include <stdint.h>

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vz_efi_variable_store_options { /* start from VZ_EFI_VARIABLE_STORE_OPTIONS_INIT */
    size_t size;
    const char *firmware; /* see vz_efi_boot_loader_options.firmware: the template beside it is used */
    bool allow_overwrite; /* replace what is there */
    bool secure_boot;     /* one that trusts the keys of the firmware's package. Since 0.4 */
};
#define VZ_EFI_VARIABLE_STORE_OPTIONS_INIT VZ_INIT_(struct vz_efi_variable_store_options, )

/**
 * Make a store of UEFI variables at path, of the firmware's template. It appears whole or not at all.
 * options may be NULL.
 * 0; or -1 with VZ_ERROR_IO (nothing installed, path is there and not to be overwritten, it cannot be
 * written), VZ_ERROR_INVALID (path is in use by a machine) or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC int vz_efi_variable_store_create(const char *path,
                                           const struct vz_efi_variable_store_options *options,
                                           struct vz_error *err);

/* EFI_GLOBAL_VARIABLE (UEFI 2.10, 3.3): boot entries, their order, and what else the specification names. */
#define VZ_EFI_GLOBAL_GUID "8be4df61-93ca-11d2-aa0d-00e098032b8c"

enum { /* of a variable (UEFI 2.10, 8.2) */
    VZ_EFI_NON_VOLATILE = 1,
    VZ_EFI_BOOT_ACCESS = 2,
    VZ_EFI_RUNTIME_ACCESS = 4,
    VZ_EFI_AUTHENTICATED = 0x20, /* by time: firmware changes it only with a signature */
};

struct vz_efi_variable { /* start from VZ_EFI_VARIABLE_INIT */
    size_t size;
    const char *name;    /* UTF-8 */
    const char *guid;    /* NULL, of one that is set: VZ_EFI_GLOBAL_GUID */
    uint32_t attributes; /* 0, of one that is set: as it was, else the first three */
    const void *data;
    size_t length;       /* bytes of data */
};
#define VZ_EFI_VARIABLE_INIT VZ_INIT_(struct vz_efi_variable, )

/* Called for each; the variable is there until it returns. False: enough. */
typedef bool vz_efi_variable_fn(void *arg, const struct vz_efi_variable *variable);

/**
 * Call fn for each variable of the store at path, which nobody may be using.
 * 0; or -1 with VZ_ERROR_IO, VZ_ERROR_INVALID (no store, damaged, in use) or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC int vz_efi_variable_store_list(const char *path, vz_efi_variable_fn *fn, void *arg,
                                         struct vz_error *err);

/**
 * Have a variable hold other bytes, or make it. A crash leaves the old one or the new one.
 * 0; or -1 as above; VZ_ERROR_INVALID also where the store has no room, until its machine has been started,
 * and for a variable that firmware changes only with a signature. Since 0.4. */
VZ_PUBLIC int vz_efi_variable_store_set(const char *path, const struct vz_efi_variable *variable,
                                        struct vz_error *err);

/**
 * Take a variable away. guid: NULL means VZ_EFI_GLOBAL_GUID. 0; or -1 as above; VZ_ERROR_INVALID also where
 * there is none of that name. Since 0.4. */
VZ_PUBLIC int vz_efi_variable_store_remove(const char *path, const char *name, const char *guid,
                                           struct vz_error *err);

/* ---- Secure Boot --------------------------------------------------------------------------------
 * What firmware that can do it (vz_efi_boot_loader_options.secure_boot) goes by, in the store of a machine that does
 * not run. All: 0; or -1 with the errors of vz_efi_variable_store_set(). Since 0.4. */

enum vz_efi_secure_boot {
    VZ_EFI_SECURE_BOOT_SETUP_MODE, /* there is no platform key: everything starts, anybody enrols keys */
    VZ_EFI_SECURE_BOOT_OFF,        /* there is one, and Secure Boot is switched off */
    VZ_EFI_SECURE_BOOT_ON,
};

/** Which of them it is at the machine's next start: in *ret. */
VZ_PUBLIC int vz_efi_secure_boot_get(const char *path, enum vz_efi_secure_boot *ret,
                                     struct vz_error *err);

/**
 * Switch it on or off; keys stay as they are. VZ_ERROR_EFI_SECURE_BOOT_ENROLLMENT_FAILED: to be on it needs a platform
 * key, which vz_efi_secure_boot_enroll() or _enroll_default() gives it. */
VZ_PUBLIC int vz_efi_secure_boot_set(const char *path, bool on, struct vz_error *err);

/** Take the platform key away: set-up mode. The other keys stay. */
VZ_PUBLIC int vz_efi_secure_boot_reset(const char *path, struct vz_error *err);

enum vz_efi_keys {
    VZ_EFI_PK,  /* the platform key: who may change KEK. There is one, */
    VZ_EFI_KEK, /* who may change the next two, */
    VZ_EFI_DB,  /* whose programs start, */
    VZ_EFI_DBX, /* and whose do not all the same */
};

/**
 * Add signatures: a certificate (X.509 in DER), EFI signature lists (UEFI 2.10, 32.4.1), or the SHA-256 of a program, as 32
 * bytes or 64 digits; PK and KEK take certificates only, and a PK replaces the one before. What is there already
 * is left out.
 * VZ_ERROR_EFI_SECURE_BOOT_ENROLLMENT_FAILED: the data is none of these. */
VZ_PUBLIC int vz_efi_secure_boot_enroll(const char *path, enum vz_efi_keys keys, const void *data,
                                        size_t length, struct vz_error *err);

/**
 * Add the keys that the firmware's package trusts (of Debian's: Debian's own PK, Microsoft's KEK, db and dbx), and a
 * platform key where there is none. */
VZ_PUBLIC int vz_efi_secure_boot_enroll_default(const char *path, struct vz_error *err);

struct vz_efi_signature {
    size_t size;
    bool certificate;  /* X.509 in DER; else a hash */
    const char *owner; /* a GUID */
    const void *data;
    size_t length;
};

/** Call fn for each signature of the store's keys; what it gets is there until it returns. */
VZ_PUBLIC int vz_efi_secure_boot_list(const char *path, enum vz_efi_keys keys,
                                      void (*fn)(void *arg, const struct vz_efi_signature *signature),
                                      void *arg, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
