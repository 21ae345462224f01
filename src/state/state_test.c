/* SPDX-License-Identifier: MIT */
#include "state/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "unit.h"

struct part {
    uint16_t a;
    uint8_t b[3];
};

struct thing {
    bool on;
    uint8_t small;
    uint64_t wide;
    uint32_t list[4];
    uint8_t bytes[5];
    struct part part[2];
};

static const struct state_field part_fields[] = {
    STATE_UINT_MAX(struct part, a, 1000),
    STATE_BYTES(struct part, b),
    STATE_END,
};

static const struct state_field thing_fields[] = {
    STATE_BOOL(struct thing, on),
    STATE_UINT_MAX(struct thing, small, 9),
    STATE_UINT(struct thing, wide),
    STATE_ARRAY_MAX(struct thing, list, 100),
    STATE_BYTES(struct thing, bytes),
    STATE_STRUCT_ARRAY(struct thing, part, part_fields),
    STATE_END,
};

static int thing_loaded(void *object, struct vz_error *err)
{
    struct thing *t = object;

    return t->wide == 13 ? error_set(err, EINVAL, VZ_ERROR_INVALID, "unlucky") : 0;
}

static const struct state_desc thing_desc = {"thing", 2, thing_fields, thing_loaded};

static struct thing sample(void)
{
    struct thing t;

    memset(&t, 0, sizeof(t)); /* so that whole structs compare */
    t.on = true;
    t.small = 9;
    t.wide = UINT64_MAX;
    for (unsigned i = 0; i < 4; i++)
        t.list[i] = 25 * i;
    memcpy(t.bytes, "vzvz", 5);
    t.part[0].a = 7;
    t.part[1].a = 1000;
    t.part[1].b[2] = 0xff;
    return t;
}

struct lists {
    struct part *part;
    uint32_t parts;
};

static const struct state_field lists_fields[] = {
    STATE_LIST(struct lists, part, parts, 3, part_fields),
    STATE_END,
};
static const struct state_desc lists_desc = {"lists", 1, lists_fields, NULL};

static void free_lists(struct lists *l)
{
    free(l->part);
    *l = (struct lists){0};
}

START_TEST(lists_are_as_long_as_they_are)
{
    struct part part[4] = {{.a = 1}, {.a = 1000, .b = {1, 2, 3}}, {.a = 3}, {.a = 4}};
    struct lists l = {.part = part, .parts = 2}, got = {0};
    struct state_writer w = {0};

    ck_assert_int_eq(state_save(&w, &lists_desc, 0, &l), 0);
    ck_assert_int_eq(state_load(w.data, w.len, &lists_desc, 0, &got, NULL), 0);
    ck_assert_uint_eq(got.parts, 2);
    ck_assert_mem_eq(got.part, part, 2 * sizeof(*part));
    ck_assert_int_eq(state_load(w.data, w.len, &lists_desc, 0, &got, NULL), -EINVAL); /* not empty */
    free_lists(&got);
    for (size_t len = 0; len < w.len; len++) {
        ck_assert_int_lt(state_load(w.data, len, &lists_desc, 0, &got, NULL), 0);
        free_lists(&got);
    }
    state_writer_fini(&w);
}
END_TEST

START_TEST(lists_have_a_limit)
{
    struct part part[4] = {{.a = 1}};
    struct lists l[] = {{.part = part, .parts = 4}, {.parts = 0}}, got = {0};

    for (unsigned i = 0; i < 2; i++) {
        struct state_writer w = {0};

        ck_assert_int_eq(state_save(&w, &lists_desc, 0, &l[i]), 0);
        ck_assert_int_eq(state_load(w.data, w.len, &lists_desc, 0, &got, NULL), i ? 0 : -EINVAL);
        ck_assert_uint_eq(got.parts, 0);
        state_writer_fini(&w);
    }
}
END_TEST

START_TEST(what_is_saved_is_loaded)
{
    struct state_writer w = {0};
    struct thing t = sample(), other = {.small = 1}, got;

    memset(&got, 0, sizeof(got));
    ck_assert_int_eq(state_save(&w, &thing_desc, 3, &other), 0);
    ck_assert_int_eq(state_save(&w, &thing_desc, 4, &t), 0);
    ck_assert_int_eq(state_load(w.data, w.len, &thing_desc, 4, &got, NULL), 0);
    ck_assert_mem_eq(&got, &t, sizeof(t));
    ck_assert_int_eq(state_load(w.data, w.len, &thing_desc, 3, &got, NULL), 0);
    ck_assert_uint_eq(got.small, 1);
    ck_assert_int_eq(state_load(w.data, w.len, &thing_desc, 5, &got, NULL), -ENOENT);
    state_writer_fini(&w);
}
END_TEST

struct with_blob {
    struct state_blob blob;
};
static const struct state_field blob_fields[] = {STATE_BLOB(struct with_blob, blob, 5), STATE_END};
static const struct state_desc blob_desc = {"blob", 1, blob_fields, NULL};

START_TEST(blobs_have_any_length_up_to_a_limit)
{
    struct with_blob from = {0}, to = {0};

    for (uint64_t len = 0; len <= 6; len++) {
        struct state_writer w = {0};
        int r;

        from.blob = (struct state_blob){(uint8_t *)"vzvzvz", len};
        ck_assert_int_eq(state_save(&w, &blob_desc, 0, &from), 0);
        r = state_load(w.data, w.len, &blob_desc, 0, &to, NULL);
        ck_assert_int_eq(r, len > 5 ? -EINVAL : 0);
        ck_assert_uint_eq(to.blob.len, len > 5 ? 5 : len); /* what there was */
        ck_assert_int_eq(memcmp(to.blob.data, "vzvzvz", to.blob.len), 0);
        state_writer_fini(&w);
    }
    free(to.blob.data);
}
END_TEST

START_TEST(out_of_range_names_the_field)
{
    struct state_writer w = {0};
    struct thing t = sample(), got = {0};
    struct vz_error err = {0};

    t.part[1].a = 1001;
    ck_assert_int_eq(state_save(&w, &thing_desc, 0, &t), 0);
    ck_assert_int_eq(state_load(w.data, w.len, &thing_desc, 0, &got, &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "thing 0: part: [1]: a:"));
    state_writer_fini(&w);

    t = sample();
    t.wide = 13;
    ck_assert_int_eq(state_save(&w, &thing_desc, 0, &t), 0);
    ck_assert_int_eq(state_load(w.data, w.len, &thing_desc, 0, &got, &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "unlucky"));
    state_writer_fini(&w);
}
END_TEST

START_TEST(versions_and_missing_fields)
{
    static const struct state_field few[] = {STATE_UINT(struct thing, wide), STATE_END};
    static const struct state_desc old = {"thing", 1, few, NULL};
    struct state_writer w = {0};
    struct thing t = sample(), got = {.small = 4};
    struct vz_error err = {0};

    ck_assert_int_eq(state_save(&w, &old, 0, &t), 0);
    ck_assert_int_eq(state_load(w.data, w.len, &thing_desc, 0, &got, NULL), 0);
    ck_assert_uint_eq(got.small, 4);
    ck_assert_uint_eq(got.wide, t.wide);
    state_writer_fini(&w);

    ck_assert_int_eq(state_save(&w, &thing_desc, 0, &t), 0);
    ck_assert_int_eq(state_load(w.data, w.len, &old, 0, &got, &err), -ENOTSUP);
    state_writer_fini(&w);
}
END_TEST

START_TEST(unknown_and_repeated_fields_are_refused)
{
    static const struct state_field twice[] = {
        STATE_UINT(struct thing, wide), STATE_UINT(struct thing, wide), STATE_END};
    static const struct state_field few[] = {STATE_UINT(struct thing, wide), STATE_END};
    static const struct state_desc repeats = {"thing", 2, twice, NULL};
    static const struct state_desc knows_less = {"thing", 2, few, NULL};
    struct state_writer w = {0};
    struct thing t = sample(), got = {0};

    ck_assert_int_eq(state_save(&w, &repeats, 0, &t), 0);
    ck_assert_int_eq(state_load(w.data, w.len, &thing_desc, 0, &got, NULL), -EINVAL);
    state_writer_fini(&w);
    ck_assert_int_eq(state_save(&w, &thing_desc, 0, &t), 0);
    ck_assert_int_eq(state_load(w.data, w.len, &knows_less, 0, &got, NULL), -EINVAL);
    state_writer_fini(&w);
}
END_TEST

START_TEST(integers_of_another_width_load_when_they_fit)
{
    struct narrow {
        uint8_t wide;
    } n = {200};
    static const struct state_field fields[] = {STATE_UINT(struct narrow, wide), STATE_END};
    static const struct state_desc desc = {"thing", 1, fields, NULL};
    struct state_writer w = {0};
    struct thing t = sample(), got = {0};

    ck_assert_int_eq(state_save(&w, &desc, 0, &n), 0);
    ck_assert_int_eq(state_load(w.data, w.len, &thing_desc, 0, &got, NULL), 0);
    ck_assert_uint_eq(got.wide, 200);
    state_writer_fini(&w);
    (void)t;
}
END_TEST

/* Truncations and single-byte changes anywhere: an answer, never a crash or a stray write. */
START_TEST(damaged_input_is_survived)
{
    struct state_writer w = {0};
    struct thing t = sample();
    struct {
        struct thing t;
        uint64_t canary;
    } got;

    ck_assert_int_eq(state_save(&w, &thing_desc, 0, &t), 0);
    for (size_t len = 0; len < w.len; len++) {
        uint8_t *copy = malloc(len + 1); /* exact size: a sanitizer sees reads past it */

        memcpy(copy, w.data, len);
        copy = realloc(copy, len ? len : 1);
        ck_assert_int_lt(state_load(copy, len, &thing_desc, 0, &got.t, NULL), 0);
        free(copy);
    }
    for (size_t i = 0; i < w.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            got.canary = 0x1234567890;
            w.data[i] ^= (uint8_t)(1 << bit);
            if (state_load(w.data, w.len, &thing_desc, 0, &got.t, NULL) == 0)
                ck_assert(got.t.small <= 9 && got.t.part[0].a <= 1000);
            w.data[i] ^= (uint8_t)(1 << bit);
            ck_assert_uint_eq(got.canary, 0x1234567890);
        }
    }
    state_writer_fini(&w);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, lists_are_as_long_as_they_are);
    UNIT_TEST(s, lists_have_a_limit);
    UNIT_TEST(s, what_is_saved_is_loaded);
    UNIT_TEST(s, blobs_have_any_length_up_to_a_limit);
    UNIT_TEST(s, out_of_range_names_the_field);
    UNIT_TEST(s, versions_and_missing_fields);
    UNIT_TEST(s, unknown_and_repeated_fields_are_refused);
    UNIT_TEST(s, integers_of_another_width_load_when_they_fit);
    UNIT_TEST(s, damaged_input_is_survived);
}

UNIT_TEST_MAIN("state", add_tests)
