/* SPDX-License-Identifier: MIT */
#include "cpu/x86/block_beside.h"

#include <stdlib.h>

#include "unit.h"

static struct beside *fresh(void)
{
    struct beside *b = calloc(1, sizeof(*b));

    ck_assert_ptr_nonnull(b);
    return b;
}

/* Places in a chain, as a sum, and how many they are. */
static uint64_t sum_of(const struct beside *b, uint32_t chain, unsigned *ret_count)
{
    uint64_t sum = 0;

    *ret_count = 0;
    for (uint32_t n = chain; n; n = b->node[n].next) {
        ck_assert_uint_gt(b->node[n].count, 0);
        ck_assert(n == chain || b->node[n].count == BESIDE_ROOM);
        *ret_count += b->node[n].count;
        for (uint32_t at = 0; at < b->node[n].count; at++)
            sum += b->node[n].place[at];
    }
    return sum;
}

START_TEST(what_is_added_is_there_until_it_is_removed)
{
    struct beside *b = fresh();
    uint64_t sum = 0;
    unsigned count;

    for (uint32_t place = 1; place <= 100; place++, sum += place - 1)
        beside_add(b, &b->chain[3], place);
    ck_assert_uint_eq(sum_of(b, b->chain[3], &count), sum);
    for (uint32_t n = 0; n < 100; n++) {
        uint32_t place = 1 + n * 37 % 100;

        beside_remove(b, &b->chain[3], place);
        beside_remove(b, &b->chain[3], place); /* which is not there */
        sum -= place;
        ck_assert_uint_eq(sum_of(b, b->chain[3], &count), sum);
        ck_assert_uint_eq(count, 99 - n);
    }
    ck_assert_uint_eq(b->chain[3], 0);
    free(b);
}
END_TEST

START_TEST(what_is_taken_off_can_be_put_back)
{
    struct beside *b = fresh();
    struct beside_node node;
    unsigned taken = 0, count;

    for (uint32_t place = 1; place <= 100; place++)
        beside_add(b, &b->chain[1], place);
    while (beside_take(b, &b->chain[1], &node))
        for (uint32_t n = 0; n < node.count; n++, taken++)
            beside_add(b, &b->chain[2], node.place[n]);
    ck_assert_uint_eq(taken, 100);
    ck_assert_uint_eq(sum_of(b, b->chain[2], &count), 5050);
    ck_assert_uint_le(b->node[0].count, 9); /* nodes were used again */
    beside_empty(b);
    ck_assert(!beside_take(b, &b->chain[2], &node));
    free(b);
}
END_TEST

START_TEST(without_nodes_nothing_is_added)
{
    struct beside *b = fresh();
    uint32_t place = 1;
    unsigned count;

    while (b->node[0].count < BESIDE_NODES - 1)
        beside_add(b, &b->chain[0], place++);
    for (unsigned n = 0; n < 2 * BESIDE_ROOM; n++)
        beside_add(b, &b->chain[0], place++);
    sum_of(b, b->chain[0], &count);
    ck_assert_uint_eq(count, (BESIDE_NODES - 1) * BESIDE_ROOM);
    free(b);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, what_is_added_is_there_until_it_is_removed);
    UNIT_TEST(s, what_is_taken_off_can_be_put_back);
    UNIT_TEST(s, without_nodes_nothing_is_added);
}

UNIT_TEST_MAIN("beside", add_tests)
