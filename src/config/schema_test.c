/* SPDX-License-Identifier: MIT */
/* The tables themselves: what no compiler sees of them; and what they do to objects. */
#include "unit.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "config/objects.h"
#include "config/schema_json.h"
#include "config/schema_text.h"

#define TYPES_MAX 64u

/* Every type that can be reached from the whole, each once. */
struct types {
    const struct schema_type *type[TYPES_MAX];
    unsigned count;
};

static void find_types(struct types *all, const struct schema_type *type)
{
    for (unsigned i = 0; i < all->count; i++) {
        if (all->type[i] == type)
            return;
    }
    ck_assert_uint_lt(all->count, TYPES_MAX);
    all->type[all->count++] = type;
    for (const struct schema_field *f = type->fields; f->kind; f++) {
        for (unsigned i = 0; f->class && f->class->types[i]; i++)
            find_types(all, f->class->types[i]);
        if (f->element)
            find_types(all, f->element);
    }
}

static struct types all_types(void)
{
    struct types all = {.count = 0};

    find_types(&all, &config_machine_type);
    ck_assert_uint_gt(all.count, 20);
    return all;
}

/* A sentence's part, which others put together. */
static void check_text(const struct schema_type *type, const char *text, const char *name)
{
    ck_assert_msg(text && text[0] && text[strlen(text) - 1] != '.' && !isspace(text[0]),
                  "%s.%s: text '%s'", type->name, name, text ? text : "");
}

static void check_more(const struct schema_type *type, const char *more)
{
    ck_assert_msg(!more || more[strlen(more) - 1] == '.', "%s: '%s'", type->name, more);
}

static void check_kind(const struct schema_type *type, const struct schema_field *f)
{
    const char *name = f->json;

    ck_assert_msg(!(f->kind == SCHEMA_ENUM) || (f->words && f->words[0]), "%s.%s", type->name, name);
    ck_assert_msg(f->kind != SCHEMA_ENUM || schema_word(f, f->initial), "%s.%s: initial",
                  type->name, name);
    ck_assert_msg((f->kind == SCHEMA_ONE || f->kind == SCHEMA_LIST) == (f->class != NULL), "%s.%s",
                  type->name, name);
    ck_assert_msg((f->kind == SCHEMA_ARRAY) == (f->element != NULL), "%s.%s", type->name, name);
    if (f->element)
        ck_assert_uint_eq(f->element->size, f->size);
    if (f->kind == SCHEMA_UINT && f->max && !f->required)
        ck_assert_msg(f->min <= f->initial && f->initial <= f->max, "%s.%s: initial", type->name,
                      name);
    if (f->unless)
        ck_assert_msg(schema_find(type, f->unless) != NULL, "%s.%s: unless", type->name, name);
}

static void check_place(const struct schema_type *type, const struct schema_field *f)
{
    size_t end = f->at + (f->kind == SCHEMA_ARRAY ? sizeof(void *) : f->size);

    ck_assert_msg(end <= type->size, "%s.%s is not in its struct", type->name, f->json);
    for (const struct schema_field *g = type->fields; g != f; g++) {
        size_t g_end = g->at + (g->kind == SCHEMA_ARRAY ? sizeof(void *) : g->size);

        ck_assert_msg(f->at >= g_end || g->at >= end, "%s: %s and %s overlap", type->name, f->json,
                      g->json);
        ck_assert_msg(!f->json || !g->json || strcmp(f->json, g->json), "%s: two are called %s",
                      type->name, f->json);
    }
}

START_TEST(tables_fit_their_structs)
{
    struct types all = all_types();

    for (unsigned i = 0; i < all.count; i++) {
        const struct schema_type *type = all.type[i];

        check_text(type, type->text, "");
        check_more(type, type->more);
        for (const struct schema_field *f = type->fields; f->kind; f++) {
            check_place(type, f);
            if (f->kind == SCHEMA_CONST)
                continue;
            ck_assert_ptr_nonnull(f->json);
            check_kind(type, f);
            check_text(type, f->text, f->json);
            check_more(type, f->more);
        }
    }
}
END_TEST

START_TEST(types_have_names_of_their_own)
{
    struct types all = all_types();

    for (unsigned i = 0; i < all.count; i++) {
        for (unsigned k = 0; k < i; k++)
            ck_assert_str_ne(all.type[i]->name, all.type[k]->name);
    }
}
END_TEST

/* What a class gives for nothing must be one of its types, and each of them must tell "type". */
START_TEST(classes_can_be_told_apart)
{
    struct types all = all_types();

    for (unsigned i = 0; i < all.count; i++) {
        for (const struct schema_field *f = all.type[i]->fields; f->kind; f++) {
            bool found = !f->class || !f->class->otherwise;

            for (unsigned k = 0; f->class && f->class->types[k]; k++) {
                found = found || f->class->types[k] == f->class->otherwise;
                ck_assert_ptr_nonnull(f->class->types[k]->json);
                for (unsigned l = 0; l < k; l++)
                    ck_assert_str_ne(f->class->types[k]->json, f->class->types[l]->json);
            }
            ck_assert(found);
        }
    }
}
END_TEST

/* Every type: its defaults, written, read and written again. */
START_TEST(defaults_go_round)
{
    struct types all = all_types();

    for (unsigned i = 0; i < all.count; i++) {
        const struct schema_type *type = all.type[i];
        json_t *v, *again;
        void *object, *other;

        if (!type->json && type != &config_machine_type)
            continue; /* an element is no object */
        object = schema_new(type, NULL);
        if (schema_complete(type, object, NULL) < 0) { /* as something is required */
            object_unref(object);
            continue;
        }
        v = schema_write(type, object);
        other = schema_read(type, v, NULL);
        ck_assert_msg(other != NULL || !type->fields[1].kind || type->fields[1].required, "%s",
                      type->name);
        again = other ? schema_write(type, other) : NULL;
        ck_assert_msg(!other || json_equal(v, again), "%s", type->name);
        json_decref(v);
        json_decref(again);
        object_unref(object);
        object_unref(other);
    }
}
END_TEST

START_TEST(sizes_are_what_people_write)
{
    static const struct {
        const char *text;
        uint64_t size;
    } good[] = {{"512M", 512 * MIB},   {"512m", 512 * MIB},   {"512MB", 512 * MIB},
                {"512MiB", 512 * MIB}, {"512 MiB", 512 * MIB}, {"1.5G", 1536 * MIB},
                {"1T", 1024 * GIB},    {"64K", 64 * KIB},     {"1048576", MIB},
                {"5B", 5},             {"0.5M", 512 * KIB},   {"1.3GiB", 1331 * MIB}};
    static const char *const bad[] = {"",     "512", "0",     "M",    "1GG",  "-1G",  "1.G",
                                      "1.5",  ".5G", "1,5G",  "1Gi B", "1P",  "999999999999G",
                                      "99999999999999999999999", "1.5.5G", "1.0000001G"};
    uint64_t size;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        ck_assert_msg(schema_parse_size(good[i].text, &size), "%s", good[i].text);
        ck_assert_msg(size == good[i].size, "%s is %llu", good[i].text, (unsigned long long)size);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_msg(!schema_parse_size(bad[i], &size), "%s", bad[i]);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, tables_fit_their_structs);
    UNIT_TEST(s, types_have_names_of_their_own);
    UNIT_TEST(s, classes_can_be_told_apart);
    UNIT_TEST(s, defaults_go_round);
    UNIT_TEST(s, sizes_are_what_people_write);
}

UNIT_TEST_MAIN("schema", add_tests)
