/* SPDX-License-Identifier: MIT */
/* Objects from JSON by their tables. A member that is not known is an error: silently without it,
 * the machine would be another one than was asked for. */
#include "config/schema_json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/schema_text.h"

/* The first error sticks, and what is read after it does not matter. */
struct reader {
    struct vz_error *err;
    bool failed;
    char path[160]; /* of the object being read: "networkDevices[0].attachment" */
};

static void printf_like(3, 4) fail(struct reader *r, const char *member, const char *fmt, ...)
{
    char text[VZ_ERROR_TEXT_MAX];
    va_list args;

    if (r->failed)
        return;
    r->failed = true;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    error_set(r->err, EINVAL, VZ_ERROR_INVALID, "%s%s%.60s: %s", r->path,
              r->path[0] && member[0] ? "." : "", member, text);
}

/* What err says comes from a function that does not know where we are. */
static void fail_with_path(struct reader *r)
{
    if (!r->failed && r->path[0])
        error_prefix(r->err, "%s", r->path);
    r->failed = true;
}

/* Go to a member, or with index >= 0 to an item of it; returns where to come back to. */
static size_t enter(struct reader *r, const char *member, int index)
{
    size_t len = strlen(r->path), used = len;

    used += (size_t)snprintf(r->path + len, sizeof(r->path) - len, "%s%s", len ? "." : "", member);
    if (index >= 0 && used < sizeof(r->path))
        snprintf(r->path + used, sizeof(r->path) - used, "[%d]", index);
    return len;
}

static void leave(struct reader *r, size_t len)
{
    r->path[len] = '\0';
}

/* ---- Values --------------------------------------------------------------------------------- */

static const char *text_of(struct reader *r, const char *name, const json_t *v)
{
    if (!json_is_string(v))
        fail(r, name, "is not a string");
    else if (strlen(json_string_value(v)) != json_string_length(v))
        fail(r, name, "has a NUL in it");
    return r->failed ? "" : json_string_value(v);
}

static bool read_bool(struct reader *r, const char *name, const json_t *v)
{
    if (!json_is_boolean(v))
        fail(r, name, "is not true or false");
    return json_is_true(v);
}

/* A whole number from min (0, or -1) to max: 2, and likewise 2.0 and 2e0. */
static int64_t read_number(struct reader *r, const char *name, const json_t *v, int64_t min,
                           int64_t max)
{
    double d = json_number_value(v);

    if (json_is_number(v) && d < (double)min)
        fail(r, name, "is below %lld", (long long)min);
    else if (json_is_integer(v) && json_integer_value(v) <= max)
        return json_integer_value(v);
    else if (json_is_real(v) && d <= (double)max && d < 0x1p63 && d == (double)(int64_t)d)
        return (int64_t)d;
    else
        fail(r, name, "is not a %snumber up to %lld", json_is_real(v) ? "whole " : "",
             (long long)max);
    return min;
}

static void read_word(struct reader *r, const struct schema_field *f, void *members,
                      const json_t *v)
{
    const char *word = text_of(r, f->json, v);
    char words[128];
    uint64_t value;

    if (schema_word_parse(f, word, &value)) {
        schema_set(f, members, value);
        return;
    }
    schema_words(f, words, sizeof(words));
    fail(r, f->json, "'%.40s' is not %s", word, words);
}

static void read_string(struct reader *r, const struct schema_field *f, void *members,
                        const json_t *v)
{
    char *copy = strdup(text_of(r, f->json, v));

    if (!copy && !r->failed) {
        error_set(r->err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        r->failed = true;
    }
    schema_set_string(f, members, copy);
}

static void read_identity(struct reader *r, const struct schema_field *f, void *members,
                          const json_t *v)
{
    const char *text = text_of(r, f->json, v);
    char expected[SCHEMA_TEXT_MAX];

    if (schema_text_parse(f, members, text) == 0)
        return;
    schema_expected(f, expected, sizeof(expected));
    fail(r, f->json, "'%.40s' is not %s", text, expected);
}

/* ---- Objects -------------------------------------------------------------------------------- */

static void read_members(struct reader *r, const struct schema_type *type, void *members,
                         const json_t *v);

static const struct schema_type *read_type(struct reader *r, const struct schema_class *class,
                                           const json_t *v)
{
    const json_t *type = json_object_get(v, "type");
    const char *word;
    char words[128];

    if (!json_is_object(v)) {
        fail(r, "", "is not an object");
        return NULL;
    }
    if (!type) {
        fail(r, "type", "is missing");
        return NULL;
    }
    word = text_of(r, "type", type);
    for (unsigned i = 0; class->types[i]; i++) {
        if (!strcmp(class->types[i]->json, word))
            return class->types[i];
    }
    schema_class_words(class, words, sizeof(words));
    fail(r, "type", "'%.40s' is not %s", word, words);
    return NULL;
}

/* A reference, or NULL after an error. */
static void *read_object(struct reader *r, const struct schema_class *class, const json_t *v)
{
    const struct schema_type *type = read_type(r, class, v);
    void *object = type ? schema_new(type, r->err) : NULL;

    if (type && !object)
        fail_with_path(r);
    if (!object)
        return NULL;
    read_members(r, type, object, v);
    if (!r->failed)
        return object;
    object_unref(object);
    return NULL;
}

static void read_list(struct reader *r, const struct schema_field *f, void *members,
                      const json_t *v)
{
    if (!json_is_array(v))
        fail(r, f->json, "is not an array");
    for (unsigned i = 0; !r->failed && i < json_array_size(v); i++) {
        size_t back = enter(r, f->json, (int)i);
        void *object = read_object(r, f->class, json_array_get(v, i));

        if (object && object_list_add(schema_at(f, members), object) < 0) {
            error_set(r->err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
            r->failed = true;
        }
        object_unref(object);
        leave(r, back);
    }
}

static void read_element(struct reader *r, const struct schema_field *f, void *members,
                         const json_t *v)
{
    void *element = schema_array_add(f, members);

    if (!element || schema_init(f->element, element, r->err) < 0) {
        error_set(r->err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        r->failed = true;
    } else if (!json_is_object(v)) {
        fail(r, "", "is not an object");
    } else {
        read_members(r, f->element, element, v);
    }
}

static void read_array(struct reader *r, const struct schema_field *f, void *members,
                       const json_t *v)
{
    if (!json_is_array(v) || (f->max && json_array_size(v) > f->max))
        fail(r, f->json, "is not an array of up to %u", (unsigned)f->max);
    for (unsigned i = 0; !r->failed && i < json_array_size(v); i++) {
        size_t back = enter(r, f->json, (int)i);

        read_element(r, f, members, json_array_get(v, i));
        leave(r, back);
    }
}

static void read_one(struct reader *r, const struct schema_field *f, void *members,
                     const json_t *v)
{
    size_t back = enter(r, f->json, -1);

    schema_set_one(f, members, read_object(r, f->class, v));
    leave(r, back);
}

static void read_field(struct reader *r, const struct schema_field *f, void *members,
                       const json_t *v)
{
    switch (f->kind) {
    case SCHEMA_BOOL:
    case SCHEMA_NOT:
        schema_set(f, members, read_bool(r, f->json, v));
        break;
    case SCHEMA_UINT:
    case SCHEMA_SIZE:
        schema_set(f, members, (uint64_t)read_number(r, f->json, v, 0,
                                                     (int64_t)MIN(schema_uint_max(f),
                                                                  (uint64_t)INT64_MAX)));
        break;
    case SCHEMA_FD:
        schema_set(f, members, (uint64_t)read_number(r, f->json, v, -1, INT32_MAX));
        break;
    case SCHEMA_STRING:
    case SCHEMA_PATH:
        read_string(r, f, members, v);
        break;
    case SCHEMA_ENUM:
        read_word(r, f, members, v);
        break;
    case SCHEMA_MAC:
    case SCHEMA_UUID:
        read_identity(r, f, members, v);
        break;
    case SCHEMA_ONE:
        read_one(r, f, members, v);
        break;
    case SCHEMA_LIST:
        read_list(r, f, members, v);
        break;
    case SCHEMA_ARRAY:
        read_array(r, f, members, v);
        break;
    case SCHEMA_CONST:
    case SCHEMA_END:
        break;
    }
}

static void refuse_unknown(struct reader *r, const struct schema_type *type, const json_t *v)
{
    const char *key, *like;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)v, key, value) {
        if (schema_find(type, key) || (type->json && !strcmp(key, "type")))
            continue;
        like = schema_closest(type, key);
        if (like)
            fail(r, key, "is not known here; did you mean '%s'?", like);
        else
            fail(r, key, "is not known here");
    }
}

/* members have their defaults. Leaves them complete, or an error. */
static void read_members(struct reader *r, const struct schema_type *type, void *members,
                         const json_t *v)
{
    refuse_unknown(r, type, v);
    for (const struct schema_field *f = type->fields; !r->failed && f->kind; f++) {
        const json_t *value = f->json ? json_object_get(v, f->json) : NULL;

        if (value)
            read_field(r, f, members, value);
        else if (f->required && !(f->unless && json_object_get(v, f->unless)))
            fail(r, f->json, "is missing");
    }
    if (!r->failed && schema_complete(type, members, r->err) < 0)
        fail_with_path(r);
}

void *schema_read(const struct schema_type *type, const json_t *v, struct vz_error *err)
{
    struct reader r = {.err = err};
    void *object = schema_new(type, err);

    if (!object)
        return NULL;
    if (json_is_object(v))
        read_members(&r, type, object, v);
    else
        fail(&r, type->name, "is not an object");
    if (!r.failed)
        return object;
    object_unref(object);
    return NULL;
}
