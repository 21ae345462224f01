/* SPDX-License-Identifier: MIT */
#include "config/schema_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/closest.h"
#include "base/error.h"

/* ---- Numbers -------------------------------------------------------------------------------- */

/* Decimal digits; *end is what follows them. */
static bool digits(const char *text, uint64_t *ret, const char **end)
{
    uint64_t v = 0;

    if (!isdigit((unsigned char)*text))
        return false;
    for (; isdigit((unsigned char)*text); text++) {
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
            return false;
    }
    *ret = v;
    *end = text;
    return true;
}

bool schema_parse_number(const char *text, uint64_t *ret)
{
    const char *end;

    return digits(text, ret, &end) && !*end;
}

/* The power of two that a unit stands for; -1: it is none. */
static int unit_log2(const char *unit)
{
    static const char letters[] = "kmgt";
    const char *at = *unit ? strchr(letters, tolower((unsigned char)*unit)) : NULL;

    if (!strcasecmp(unit, "b"))
        return 0;
    if (!at || (unit[1] && strcasecmp(unit + 1, "b") && strcasecmp(unit + 1, "ib")))
        return -1;
    return 10 * (int)(at - letters + 1);
}

/* ".5" of a unit, in bytes: of gigabytes and more, whole mebibytes. */
static bool fraction(const char *text, int log2, uint64_t *ret, const char **end)
{
    uint64_t v, scale = 1;

    if (!digits(text, &v, end) || *end - text > 6)
        return false;
    for (; text < *end; text++)
        scale *= 10;
    *ret = (uint64_t)(((unsigned __int128)v << log2) / scale);
    if (log2 >= 30)
        *ret &= ~(MIB - 1);
    return true;
}

bool schema_parse_size(const char *text, uint64_t *ret)
{
    const char *unit, *dot = NULL;
    uint64_t v, part = 0;
    int log2;

    if (!digits(text, &v, &unit))
        return false;
    if (!*unit && v >= MIB && v <= INT64_MAX) {
        *ret = v;
        return true;
    }
    if (*unit == '.') {
        dot = unit + 1;
        unit = dot + strspn(dot, "0123456789");
    }
    log2 = unit_log2(unit + strspn(unit, " "));
    if (log2 < 0 || (dot && !fraction(dot, log2, &part, &dot)) ||
        __builtin_mul_overflow(v, UINT64_C(1) << log2, &v) ||
        __builtin_add_overflow(v, part, &v) || v > INT64_MAX)
        return false;
    *ret = v;
    return true;
}

/* ---- Values --------------------------------------------------------------------------------- */

/* Text of a BOOL: one of its words, if it has some. */
static bool parse_bool(const struct schema_field *f, const char *text, uint64_t *ret)
{
    static const char *const words[][2] = {{"off", "on"}, {"false", "true"}, {"no", "yes"}};

    if (f->words)
        return schema_word_parse(f, text, ret);
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(words); i++) {
        if (!strcmp(text, words[i / 2][i % 2])) {
            *ret = i % 2;
            return true;
        }
    }
    return false;
}

static bool parse_uint(const struct schema_field *f, const char *text, uint64_t *ret)
{
    return schema_parse_number(text, ret) && *ret <= schema_uint_max(f) &&
           (!f->max || (*ret >= f->min && *ret <= f->max));
}

static int parse_string(const struct schema_field *f, void *members, const char *text)
{
    uint64_t index;
    char *copy;

    if ((f->kind == SCHEMA_PATH && !text[0]) ||
        (f->words && !schema_word_parse(f, text, &index)))
        return -EINVAL;
    copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    schema_set_string(f, members, copy);
    return 0;
}

static bool parse_value(const struct schema_field *f, const char *text, uint64_t *ret)
{
    switch (f->kind) {
    case SCHEMA_BOOL:
    case SCHEMA_NOT:
        return parse_bool(f, text, ret);
    case SCHEMA_UINT:
        return parse_uint(f, text, ret);
    case SCHEMA_SIZE:
        return schema_parse_size(text, ret);
    case SCHEMA_FD:
        return schema_parse_number(text, ret) && *ret <= INT32_MAX;
    case SCHEMA_ENUM:
        return schema_word_parse(f, text, ret);
    default:
        return false;
    }
}

int schema_text_parse(const struct schema_field *f, void *members, const char *text)
{
    uint64_t value;

    switch (f->kind) {
    case SCHEMA_STRING:
    case SCHEMA_PATH:
        return parse_string(f, members, text);
    case SCHEMA_MAC:
        return vz_mac_address_parse(text, schema_at(f, members)) < 0 ? -EINVAL : 0;
    case SCHEMA_UUID:
        return vz_machine_identifier_parse(text, schema_at(f, members)) < 0 ? -EINVAL : 0;
    default:
        if (!parse_value(f, text, &value))
            return -EINVAL;
        schema_set(f, members, value);
        return 0;
    }
}

void schema_identity_format(const struct schema_field *f, const void *members,
                            char ret[SCHEMA_TEXT_MAX])
{
    if (f->kind == SCHEMA_MAC)
        vz_mac_address_format(schema_at(f, members), ret);
    else
        vz_machine_identifier_format(schema_at(f, members), ret);
}

/* ---- Messages ------------------------------------------------------------------------------- */

static const char *plain_expectation(const struct schema_field *f)
{
    switch (f->kind) {
    case SCHEMA_BOOL:
    case SCHEMA_NOT:
        return "on or off";
    case SCHEMA_SIZE:
        return "a size like 512M, 1.5G or 1T";
    case SCHEMA_FD:
        return "the number of an open file descriptor";
    case SCHEMA_PATH:
        return "a path";
    case SCHEMA_MAC:
        return "a MAC address like 02:00:00:00:00:01";
    case SCHEMA_UUID:
        return "a UUID like 12345678-9abc-4def-8012-3456789abcde";
    default:
        return "some text";
    }
}

void schema_expected(const struct schema_field *f, char *ret, size_t len)
{
    if (f->words)
        schema_words(f, ret, len);
    else if (f->kind == SCHEMA_UINT)
        snprintf(ret, len, "a number from %llu to %llu", (unsigned long long)f->min,
                 (unsigned long long)(f->max ? f->max : schema_uint_max(f)));
    else
        snprintf(ret, len, "%s", f->kind == SCHEMA_STRING && f->value ? f->value
                                                                      : plain_expectation(f));
}

int schema_text_error(const struct schema_field *f, const char *text, struct vz_error *err)
{
    char expected[SCHEMA_TEXT_MAX];
    uint64_t number;

    if (f->kind == SCHEMA_SIZE && schema_parse_number(text, &number))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s of what? For mebibytes say %sM", text,
                         text);
    schema_expected(f, expected, sizeof(expected));
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "expected %s", expected);
}

void schema_class_words(const struct schema_class *class, char *ret, size_t len)
{
    const struct schema_type *const *t = class->types;
    size_t used = 0;

    if (!t[1]) { /* nothing to choose from: it must be this word */
        snprintf(ret, len, "'%s'", t[0]->json);
        return;
    }
    for (unsigned i = 0; t[i] && used < len; i++)
        used += (size_t)snprintf(ret + used, len - used, "%s%s",
                                 !i ? "" : t[i + 1] ? ", " : " or ", t[i]->json);
}

const char *schema_closest(const struct schema_type *type, const char *key)
{
    struct closest c = {.word = key};

    for (const struct schema_field *f = type->fields; f->kind; f++) {
        if (f->json)
            closest_try(&c, f->json);
    }
    return c.best;
}
