/* SPDX-License-Identifier: MIT */
/* Memory that is used again. */
#include "block/buffers.h"

#include <string.h>

#include "base/checked.h"
#include "unit.h"

START_TEST(what_is_given_back_is_given_again)
{
    struct buffers b = {.kept = 0};
    char *first = buffers_get(&b, MIB), *second = buffers_get(&b, MIB - 512);

    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_ne(first, second);
    memset(first, 1, MIB);
    memset(second, 2, MIB - 512);
    buffers_put(&b, first, MIB);
    ck_assert_uint_eq(b.kept, MIB);
    ck_assert_ptr_eq(buffers_get(&b, MIB - 1), first); /* of the same class */
    ck_assert_uint_eq(b.kept, 0);
    buffers_put(&b, second, MIB - 512);
    buffers_put(&b, first, MIB - 1);
    buffers_put(&b, NULL, MIB);
    ck_assert_uint_eq(b.kept, 2 * MIB);
    buffers_fini(&b);
    ck_assert_uint_eq(b.kept, 0);
}
END_TEST

START_TEST(neither_small_ones_nor_too_many_are_kept)
{
    static const uint64_t sizes[] = {1, 512, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 8 * MIB, 8 * MIB + 1};
    struct buffers b = {.kept = 0};
    void *p[6];

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        void *data = buffers_get(&b, sizes[i]);

        memset(data, 3, sizes[i]);
        buffers_put(&b, data, sizes[i]);
    }
    ck_assert_uint_eq(b.kept, 64 * KIB + 128 * KIB + 8 * MIB);
    for (unsigned i = 0; i < 6; i++)
        p[i] = buffers_get(&b, 4 * MIB);
    for (unsigned i = 0; i < 6; i++)
        buffers_put(&b, p[i], 4 * MIB);
    ck_assert_uint_le(b.kept, 16 * MIB);
    buffers_fini(&b);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, what_is_given_back_is_given_again);
    UNIT_TEST(s, neither_small_ones_nor_too_many_are_kept);
}

UNIT_TEST_MAIN("buffers", add_tests)
