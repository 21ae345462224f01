/* SPDX-License-Identifier: MIT */
#include "config/config_compare.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vz/saved_state.h>

#include "base/error.h"
#include "config/objects.h"

#define PATH_MAX_LEN 128u

/* Where we are: "storageDevices[0]". */
struct path {
    char text[PATH_MAX_LEN];
    bool is_copy; /* of the machine that was: with an identity of its own */
};

static void enter(struct path *p, const char *name, int index)
{
    size_t len = strlen(p->text);

    snprintf(p->text + len, sizeof(p->text) - len, index < 0 ? "%s%s" : "%s%s[%d]", len ? "." : "",
             name, index);
}

static int compare_members(const struct schema_field *fields, const void *was, const void *is,
                           const struct path *at, struct vz_error *err);

static int differ(const struct path *p, const char *was, const char *is, struct vz_error *err)
{
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s was %s, and is %s", p->text, was, is);
}

static const char *number_text(const struct schema_field *f, uint64_t v, char ret[24])
{
    const char *word = f->kind == SCHEMA_ENUM ? schema_word(f, v) : NULL;

    if (f->kind == SCHEMA_BOOL || f->kind == SCHEMA_NOT)
        word = (v != 0) == (f->kind == SCHEMA_BOOL) ? "true" : "false";
    if (!word)
        snprintf(ret, 24, "%llu", (unsigned long long)v);
    return word ? word : ret;
}

static int compare_numbers(const struct schema_field *f, const void *was, const void *is,
                           const struct path *p, struct vz_error *err)
{
    uint64_t a = schema_get(f, was), b = schema_get(f, is);
    char text[2][24];

    return a == b ? 0 : differ(p, number_text(f, a, text[0]), number_text(f, b, text[1]), err);
}

static int compare_strings(const struct schema_field *f, const void *was, const void *is,
                           const struct path *p, struct vz_error *err)
{
    const char *a = schema_string(f, was), *b = schema_string(f, is);

    if (a == b || (a && b && !strcmp(a, b)))
        return 0;
    return differ(p, a ? a : "not set", b ? b : "not set", err);
}

static const char *bytes_text(const uint8_t *b, size_t len, char separator, char ret[64])
{
    size_t n = 0;

    for (size_t i = 0; i < len && n + 4 < 64; i++) {
        if (i && separator)
            ret[n++] = separator;
        n += (size_t)snprintf(ret + n, 64 - n, "%02x", b[i]);
    }
    return ret;
}

static int compare_bytes(const struct schema_field *f, const void *was, const void *is,
                         const struct path *p, struct vz_error *err)
{
    const void *a = schema_at(f, was), *b = schema_at(f, is);
    char text[2][64], separator = f->kind == SCHEMA_MAC ? ':' : 0;

    if (!memcmp(a, b, f->size))
        return 0;
    return differ(p, bytes_text(a, f->size, separator, text[0]),
                  bytes_text(b, f->size, separator, text[1]), err);
}

static int compare_objects(const void *was, const void *is, const struct path *p,
                           struct vz_error *err)
{
    const struct schema_type *a = was ? schema_type_of(was) : NULL;
    const struct schema_type *b = is ? schema_type_of(is) : NULL;

    if (a != b)
        return differ(p, a ? a->json : "not set", b ? b->json : "not set", err);
    return a ? compare_members(a->fields, was, is, p, err) : 0;
}

static int compare_counts(unsigned was, unsigned is, const struct path *p, struct vz_error *err)
{
    char text[2][24];

    if (was == is)
        return 0;
    snprintf(text[0], sizeof(text[0]), "%u of them", was);
    snprintf(text[1], sizeof(text[1]), "%u", is);
    return differ(p, text[0], text[1], err);
}

static int compare_lists(const struct schema_field *f, const void *was, const void *is,
                         const struct path *at, struct vz_error *err)
{
    const struct object_list *a = schema_at(f, was), *b = schema_at(f, is);
    struct path p = *at;
    int r;

    enter(&p, f->json, -1);
    r = compare_counts(a->count, b->count, &p, err);
    for (unsigned i = 0; !r && i < a->count; i++) {
        p = *at;
        enter(&p, f->json, (int)i);
        r = compare_objects(a->item[i], b->item[i], &p, err);
    }
    return r;
}

static int compare_arrays(const struct schema_field *f, const void *was, const void *is,
                          const struct path *at, struct vz_error *err)
{
    unsigned count = schema_count(f, was);
    struct path p = *at;
    int r;

    enter(&p, f->json, -1);
    r = compare_counts(count, schema_count(f, is), &p, err);
    for (unsigned i = 0; !r && i < count; i++) {
        p = *at;
        enter(&p, f->json, (int)i);
        r = compare_members(f->element->fields, schema_element(f, was, i),
                            schema_element(f, is, i), &p, err);
    }
    return r;
}

static int compare_member(const struct schema_field *f, const void *was, const void *is,
                          const struct path *at, struct vz_error *err)
{
    struct path p = *at;

    if (f->kind == SCHEMA_LIST)
        return compare_lists(f, was, is, at, err);
    if (f->kind == SCHEMA_ARRAY)
        return compare_arrays(f, was, is, at, err);
    enter(&p, f->json, -1);
    switch (f->kind) {
    case SCHEMA_ONE:
        return compare_objects(schema_one(f, was), schema_one(f, is), &p, err);
    case SCHEMA_STRING:
        return compare_strings(f, was, is, &p, err);
    case SCHEMA_MAC:
    case SCHEMA_UUID:
        return compare_bytes(f, was, is, &p, err);
    default:
        return compare_numbers(f, was, is, &p, err);
    }
}

static int compare_members(const struct schema_field *fields, const void *was, const void *is,
                           const struct path *at, struct vz_error *err)
{
    int r = 0;

    for (const struct schema_field *f = fields; !r && f->kind; f++) {
        bool identity = f->kind == SCHEMA_MAC || f->kind == SCHEMA_UUID;
        bool seen = !f->host && f->kind != SCHEMA_CONST && f->kind != SCHEMA_PATH &&
                    f->kind != SCHEMA_FD && !(identity && at->is_copy);

        if (seen)
            r = compare_member(f, was, is, at, err);
    }
    return r;
}

int config_compare(const struct vz_config *was, const struct vz_config *is, bool is_copy,
                   struct vz_error *err)
{
    const struct path p = {.is_copy = is_copy};

    return compare_members(config_machine_type.fields, was, is, &p, err);
}

/* ---- Support -------------------------------------------------------------------------------- */

int config_validate_restore_support(const struct vz_config *c, struct vz_error *err)
{
    if (!c->options.host_cpu)
        return 0;
    error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
              "hostCpu: a CPU that is the host's has more state than can be saved");
    return -1;
}

int vz_config_validate_save_restore_support(const struct vz_config *c, struct vz_error *err)
{
    if (!options_given(c, "configuration", err) || config_validate_restore_support(c, err) < 0)
        return -1;
    if (c->usb_devices.count) {
        error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                  "usbDevices[0]: a USB device of the host has a state of its own, which cannot be saved: detach it first");
        return -1;
    }
    for (unsigned i = 0; i < c->storage_devices.count; i++) {
        if (!config_storage_device(c, i)->attachment->ephemeral)
            continue;
        error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                  "storageDevices[%u]: an ephemeral disk's data are gone when a state is restored", i);
        return -1;
    }
    return 0;
}
