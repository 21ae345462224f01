/* SPDX-License-Identifier: MIT */
/* <vz/efi.h>: Secure Boot. */
#include <errno.h>
#include <string.h>

#include <vz/efi.h>

#include "api/efi_api.h"
#include "base/error.h"
#include "config/object.h"
#include "efi/efi_firmware.h"
#include "efi/efi_keys.h"

static int refuse(const char *path, const char *why, struct vz_error *err)
{
    return error_set(err, EINVAL, VZ_ERROR_EFI_SECURE_BOOT_ENROLLMENT_FAILED, "variable store %s: %s", path,
                     why);
}

/* What an operation on the open store came to; closes it. */
static int finish(struct efi_store *s, const char *path, int r, struct vz_error *err)
{
    efi_store_close(s);
    if (r == -ENOKEY)
        r = refuse(path, "has no platform key, without which Secure Boot cannot be in force", err);
    else if (r == -EBADMSG)
        r = refuse(path, "takes an X.509 certificate in DER, EFI signature lists, or a SHA-256, and this is none",
                   err);
    else if (r == -EMEDIUMTYPE)
        r = refuse(path, "takes only certificates for PK and KEK", err);
    else if (r < 0)
        r = efi_failed(path, r, err);
    return r < 0 ? -1 : 0;
}

static int open_store(const char *path, struct efi_store *ret, struct vz_error *err)
{
    return options_given(path, "path", err) ? efi_store_open(path, NULL, ret, err) : -EINVAL;
}

int vz_efi_secure_boot_get(const char *path, enum vz_efi_secure_boot *ret, struct vz_error *err)
{
    struct efi_store s;
    int r;

    if (!options_given(ret, "result", err) || open_store(path, &s, err) < 0)
        return -1;
    r = efi_secure_boot_state(&s);
    if (r >= 0)
        *ret = (enum vz_efi_secure_boot)r; /* the same numbers */
    return finish(&s, path, r, err);
}

int vz_efi_secure_boot_set(const char *path, bool on, struct vz_error *err)
{
    struct efi_store s;

    if (open_store(path, &s, err) < 0)
        return -1;
    return finish(&s, path, efi_secure_boot_switch(&s, on), err);
}

int vz_efi_secure_boot_reset(const char *path, struct vz_error *err)
{
    struct efi_store s;

    if (open_store(path, &s, err) < 0)
        return -1;
    return finish(&s, path, efi_secure_boot_reset(&s), err);
}

static bool known(enum vz_efi_keys keys, struct vz_error *err)
{
    if ((unsigned)keys < EFI_KEYS_COUNT)
        return true;
    error_set(err, EINVAL, VZ_ERROR_INVALID, "there are no keys of that number");
    return false;
}

int vz_efi_secure_boot_enroll(const char *path, enum vz_efi_keys keys, const void *data, size_t length,
                              struct vz_error *err)
{
    struct efi_store s;

    if (!known(keys, err) || (length && !options_given(data, "data", err)) || open_store(path, &s, err) < 0)
        return -1;
    return finish(&s, path,
                  length > s.len ? -ENOSPC : efi_keys_add(&s, (enum efi_keys)keys, data, (uint32_t)length),
                  err);
}

static int add_all(struct efi_store *s, const struct efi_store *from)
{
    static const enum efi_keys keys[] = {EFI_KEK, EFI_DB, EFI_DBX, EFI_PK}; /* with the last it is in force */
    int r = efi_secure_boot_state(s);
    unsigned count = r == EFI_SETUP_MODE ? ARRAY_SIZE(keys) : ARRAY_SIZE(keys) - 1;

    for (unsigned i = 0; r >= 0 && i < count; i++)
        r = efi_keys_add_from(s, keys[i], from);
    return r;
}

int vz_efi_secure_boot_enroll_default(const char *path, struct vz_error *err)
{
    struct efi_store s, from;
    struct efi_firmware f;
    int r;

    if (open_store(path, &s, err) < 0)
        return -1;
    r = efi_firmware_find(NULL, s.len, true, &f, err);
    if (r >= 0) {
        r = efi_store_open(NULL, f.variables, &from, err);
        efi_firmware_fini(&f);
    }
    if (r < 0) {
        efi_store_close(&s);
        return -1;
    }
    r = add_all(&s, &from);
    efi_store_close(&from);
    return finish(&s, path, r, err);
}

struct listing {
    void (*fn)(void *arg, const struct vz_efi_signature *signature);
    void *arg;
};

static void tell(void *arg, const struct efi_signature *one)
{
    const struct listing *l = arg;
    char owner[EFI_GUID_TEXT];
    struct efi_guid guid;

    memcpy(guid.bytes, one->owner, sizeof(guid.bytes));
    efi_guid_text(&guid, owner);
    l->fn(l->arg, &(struct vz_efi_signature){.size = sizeof(struct vz_efi_signature),
                                            .certificate = one->certificate, .owner = owner,
                                            .data = one->data, .length = one->len});
}

int vz_efi_secure_boot_list(const char *path, enum vz_efi_keys keys,
                            void (*fn)(void *arg, const struct vz_efi_signature *signature), void *arg,
                            struct vz_error *err)
{
    struct listing l = {fn, arg};
    struct efi_store s;

    if (!known(keys, err) || !options_given(fn, "function", err) || open_store(path, &s, err) < 0)
        return -1;
    return finish(&s, path, efi_keys_each(&s, (enum efi_keys)keys, tell, &l), err);
}
