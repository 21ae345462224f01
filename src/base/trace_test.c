/* SPDX-License-Identifier: MIT */
#include "base/trace.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

static uint32_t parse(const char *list, const char *want_unknown)
{
    const char *unknown;
    size_t len;
    uint32_t mask = trace_parse(list, &unknown, &len);

    if (want_unknown)
        ck_assert(unknown && len == strlen(want_unknown) && !memcmp(unknown, want_unknown, len));
    else
        ck_assert_ptr_null(unknown);
    return mask;
}

START_TEST(layers_are_named)
{
    ck_assert_uint_eq(parse(NULL, NULL), 0);
    ck_assert_uint_eq(parse("", NULL), 0);
    ck_assert_uint_eq(parse("block", NULL), 1u << TRACE_BIT_block);
    ck_assert_uint_eq(parse("net,,virtio,", NULL),
                      1u << TRACE_BIT_net | 1u << TRACE_BIT_virtio);
    ck_assert_uint_eq(parse("all", NULL), (1u << TRACE_LAYER_COUNT) - 1);
    ck_assert_uint_eq(parse("blocks,irq,x", "blocks"), 1u << TRACE_BIT_irq);
}
END_TEST

/* What fn writes to standard error. */
static size_t capture(void (*fn)(uint32_t mask), uint32_t mask, char *ret, size_t size)
{
    int ends[2], saved = dup(STDERR_FILENO);
    ssize_t n;

    ck_assert_int_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    fn(mask);
    dup2(saved, STDERR_FILENO);
    close(saved);
    n = read(ends[0], ret, size - 1);
    close(ends[0]);
    ret[n] = 0;
    return (size_t)n;
}

static unsigned evaluated;

static unsigned evaluate(void)
{
    return ++evaluated;
}

static void event(uint32_t mask)
{
    TRACE(mask, block, "raw", (void *)0x12340, "read %u+%u", evaluate(), 512u);
}

static void long_event(uint32_t mask)
{
    TRACE(mask, block, "raw", NULL, "%01000d", 1);
}

START_TEST(a_line_tells_when_where_who_and_what)
{
    char got[2000];
    unsigned s, us;
    int end = 0;

    ck_assert_uint_gt(capture(event, 1u << TRACE_BIT_block, got, sizeof(got)), 0);
    ck_assert_int_eq(sscanf(got, "vz: %u.%6u block raw:1234 read 1+512\n%n", &s, &us, &end), 2);
    ck_assert_uint_eq((unsigned)end, strlen(got));
    ck_assert_uint_eq(capture(event, ~(1u << TRACE_BIT_block), got, sizeof(got)), 0);
    ck_assert_uint_eq(evaluated, 1); /* what is off costs nothing */
    ck_assert_uint_eq(capture(long_event, ~0u, got, sizeof(got)), 511);
    ck_assert_int_eq(got[510], '\n');
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, layers_are_named);
    UNIT_TEST(s, a_line_tells_when_where_who_and_what);
}

UNIT_TEST_MAIN("trace", add_tests)
