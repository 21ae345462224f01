/* SPDX-License-Identifier: MIT */
/* <vz/efi.h>: stores of UEFI variables. */
#include <vz/efi.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/efi_api.h"
#include "base/error.h"
#include "base/le.h"
#include "config/object.h"
#include "efi/efi_firmware.h"
#include "efi/efi_variables.h"

#define NAME_MAX_UNITS 256u /* UTF-16, with the final 0 */
#define DEFAULT_ATTRIBUTES                                                                         \
    (VZ_EFI_NON_VOLATILE | VZ_EFI_BOOT_ACCESS | VZ_EFI_RUNTIME_ACCESS)

static int result(int r)
{
    return r < 0 ? -1 : 0;
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* From UTF-8 to UTF-16, without what does not fit into one unit: firmware has no such names. */
static int name_to_utf16(const char *text, uint8_t *ret, uint32_t *ret_len, struct vz_error *err)
{
    const uint8_t *p = (const uint8_t *)text;
    uint32_t n = 0;

    while (*p && n < NAME_MAX_UNITS - 1) {
        unsigned more = *p < 0x80 ? 0 : *p >> 5 == 6 ? 1 : *p >> 4 == 14 ? 2 : 3;
        unsigned c = more == 0 ? *p : more == 1 ? *p & 0x1f : *p & 0x0f;

        if (more == 3)
            break;
        for (p++; more && *p >> 6 == 2; more--)
            c = c << 6 | (*p++ & 0x3f);
        if (more)
            break;
        store_le16(ret + 2 * n++, (uint16_t)c);
    }
    if (*p || !n)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "'%.60s' is no name of a UEFI variable", text);
    store_le16(ret + 2 * n, 0);
    *ret_len = 2 * (n + 1);
    return 0;
}

/* ret has room for 3 bytes a unit. */
static void name_to_utf8(const struct efi_variable *v, char *ret)
{
    for (uint32_t i = 0; i + 2 <= v->name_len; i += 2) {
        unsigned c = load_le16(v->name + i);

        if (!c)
            break;
        if (c >= 0x800) {
            *ret++ = (char)(0xe0 | c >> 12);
            *ret++ = (char)(0x80 | (c >> 6 & 0x3f));
        } else if (c >= 0x80) {
            *ret++ = (char)(0xc0 | c >> 6);
        }
        *ret++ = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
    }
    *ret = '\0';
}

/* Where each byte of a GUID's text is in memory. */
static const uint8_t guid_order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

static bool has_dash_before(unsigned byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void efi_guid_text(const struct efi_guid *guid, char ret[EFI_GUID_TEXT])
{
    for (unsigned i = 0; i < 16; i++)
        ret += sprintf(ret, "%s%02x", has_dash_before(i) ? "-" : "", guid->bytes[guid_order[i]]);
}

static int guid_from_text(const char *text, struct efi_guid *ret, struct vz_error *err)
{
    const char *p = text;

    for (unsigned i = 0; i < 16; i++) {
        unsigned v;
        int n = 0;

        if (has_dash_before(i) && *p++ != '-')
            break;
        if (strspn(p, "0123456789abcdefABCDEF") < 2 || sscanf(p, "%2x%n", &v, &n) != 1)
            break;
        ret->bytes[guid_order[i]] = (uint8_t)v;
        p += n;
        if (i == 15 && !*p)
            return 0;
    }
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "'%.60s' is no GUID", text);
}

/* ---- Stores ---------------------------------------------------------------------------------- */

int vz_efi_variable_store_create(const char *path,
                                 const struct vz_efi_variable_store_options *options,
                                 struct vz_error *err)
{
    struct vz_efi_variable_store_options o = VZ_EFI_VARIABLE_STORE_OPTIONS_INIT;
    struct efi_firmware f;
    int r;

    if (!options_given(path, "path", err) || options_copy(&o, sizeof(o), options, err) < 0)
        return -1;
    r = efi_firmware_find(o.firmware, 0, o.secure_boot, &f, err);
    if (r < 0)
        return -1;
    r = efi_store_create(path, f.variables, o.allow_overwrite, err);
    efi_firmware_fini(&f);
    return result(r);
}

int efi_failed(const char *path, int r, struct vz_error *err)
{
    if (r == -EINVAL)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "variable store %s: is damaged", path);
    if (r == -ENOSPC)
        return error_set(err, ENOSPC, VZ_ERROR_INVALID,
                         "variable store %s: is full; firmware makes room when its machine starts", path);
    return error_set(err, -r, r == -ENOMEM ? VZ_ERROR_NO_MEMORY : VZ_ERROR_IO,
                     "variable store %s: %s", path, strerror(-r));
}

static bool tell(const struct efi_variable *v, vz_efi_variable_fn *fn, void *arg)
{
    char *name = malloc(3 * (v->name_len / 2) + 1), guid[EFI_GUID_TEXT];
    struct vz_efi_variable tell = VZ_EFI_VARIABLE_INIT;
    bool more;

    if (!name)
        return false;
    name_to_utf8(v, name);
    efi_guid_text(&v->guid, guid);
    tell.name = name;
    tell.guid = guid;
    tell.attributes = v->attributes;
    tell.data = v->data;
    tell.length = v->len;
    more = fn(arg, &tell);
    free(name);
    return more;
}

int vz_efi_variable_store_list(const char *path, vz_efi_variable_fn *fn, void *arg,
                               struct vz_error *err)
{
    struct efi_variable v = {.at = 0};
    struct efi_store s;
    int r;

    if (!options_given(path, "path", err) || !options_given(fn, "function", err))
        return -1;
    r = efi_store_open(path, NULL, &s, err);
    if (r < 0)
        return -1;
    while ((r = efi_variable_next(&s, &v)) > 0) {
        if (!tell(&v, fn, arg))
            break;
    }
    efi_store_close(&s);
    return result(r < 0 ? efi_failed(path, r, err) : 0);
}

/* A variable's name and GUID, as the store has them. name has room for NAME_MAX_UNITS. */
static int identify(const char *text, const char *guid, uint8_t *name, struct efi_variable *ret,
                    struct vz_error *err)
{
    int r = name_to_utf16(text, name, &ret->name_len, err);

    ret->name = name;
    return r < 0 ? r : guid_from_text(guid ? guid : VZ_EFI_GLOBAL_GUID, &ret->guid, err);
}

static int refuse_authenticated(const struct vz_efi_variable *v, struct vz_error *err)
{
    return error_set(err, EACCES, VZ_ERROR_INVALID,
                     "UEFI variable %s: is changed by firmware only, with a signature", v->name);
}

static int set(struct efi_store *s, const char *path, const struct vz_efi_variable *given,
               struct efi_variable *v, struct vz_error *err)
{
    struct efi_variable old;
    int r = efi_variable_find(s, v->name, v->name_len, &v->guid, &old);

    if (r < 0)
        return efi_failed(path, r, err);
    v->attributes = given->attributes ? given->attributes : r ? old.attributes : DEFAULT_ATTRIBUTES;
    if (v->attributes & VZ_EFI_AUTHENTICATED || (r && old.attributes & VZ_EFI_AUTHENTICATED))
        return refuse_authenticated(given, err);
    r = efi_variable_set(s, v);
    return r < 0 ? efi_failed(path, r, err) : 0;
}

int vz_efi_variable_store_set(const char *path, const struct vz_efi_variable *variable,
                              struct vz_error *err)
{
    struct vz_efi_variable given = VZ_EFI_VARIABLE_INIT;
    struct efi_variable v = {.at = 0};
    uint8_t name[2 * NAME_MAX_UNITS];
    struct efi_store s;
    int r;

    if (!options_given(path, "path", err) || !options_given(variable, "variable", err) ||
        options_copy(&given, sizeof(given), variable, err) < 0 ||
        !options_given(given.name, "name", err) ||
        identify(given.name, given.guid, name, &v, err) < 0)
        return -1;
    if (given.length > EFI_VARIABLES_MAX)
        return result(efi_failed(path, -ENOSPC, err));
    v.data = given.data;
    v.len = (uint32_t)given.length;
    if (efi_store_open(path, NULL, &s, err) < 0)
        return -1;
    r = set(&s, path, &given, &v, err);
    efi_store_close(&s);
    return result(r);
}

int vz_efi_variable_store_remove(const char *path, const char *name, const char *guid,
                                 struct vz_error *err)
{
    struct efi_variable v = {.at = 0}, found;
    uint8_t utf16[2 * NAME_MAX_UNITS];
    struct efi_store s;
    int r;

    if (!options_given(path, "path", err) || !options_given(name, "name", err) ||
        identify(name, guid, utf16, &v, err) < 0 || efi_store_open(path, NULL, &s, err) < 0)
        return -1;
    r = efi_variable_find(&s, v.name, v.name_len, &v.guid, &found);
    if (r == 0)
        r = error_set(err, ENOENT, VZ_ERROR_INVALID, "variable store %s: has no variable %s", path, name);
    else if (r > 0)
        r = efi_variable_delete(&s, &found);
    if (r < 0 && r != -ENOENT)
        r = efi_failed(path, r, err);
    efi_store_close(&s);
    return result(r);
}
