/* SPDX-License-Identifier: MIT */
#include "efi/efi_variables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "efi/efi_fixture.h"

static const struct efi_guid guid = {{1, 2, 3, 4}}, other = {{5}};

/* "A" in UTF-16, and so on. */
static struct efi_variable named(char c, const char *value, const struct efi_guid *g)
{
    static uint8_t name[2][4];
    static unsigned turn;
    uint8_t *p = name[turn++ % 2];

    p[0] = (uint8_t)c;
    p[1] = p[2] = p[3] = 0;
    return (struct efi_variable){.name = p, .name_len = 4, .guid = *g, .attributes = 7,
                                 .data = (const uint8_t *)value, .len = (uint32_t)strlen(value)};
}

static void set(struct efi_store *s, char c, const char *value, const struct efi_guid *g)
{
    struct efi_variable v = named(c, value, g);

    ck_assert_int_eq(efi_variable_set(s, &v), 0);
}

static int find(const struct efi_store *s, char c, const struct efi_guid *g, struct efi_variable *ret)
{
    struct efi_variable v = named(c, "", g);

    return efi_variable_find(s, v.name, v.name_len, g, ret);
}

static void expect(const struct efi_store *s, char c, const struct efi_guid *g, const char *value)
{
    struct efi_variable v;

    ck_assert_int_eq(find(s, c, g, &v), value != NULL);
    if (value) {
        ck_assert_uint_eq(v.len, strlen(value));
        ck_assert_int_eq(memcmp(v.data, value, v.len), 0);
    }
}

static unsigned count(const struct efi_store *s)
{
    struct efi_variable v = {.at = 0};
    unsigned n = 0;
    int r;

    while ((r = efi_variable_next(s, &v)) > 0)
        n++;
    ck_assert_int_eq(r, 0);
    return n;
}

START_TEST(what_is_set_is_found)
{
    struct efi_store s = empty_store();

    ck_assert_uint_eq(count(&s), 0);
    set(&s, 'A', "one", &guid);
    set(&s, 'B', "another", &guid);
    set(&s, 'A', "of another GUID", &other);
    expect(&s, 'A', &guid, "one");
    expect(&s, 'A', &other, "of another GUID");
    expect(&s, 'C', &guid, NULL);
    set(&s, 'A', "", &guid);
    expect(&s, 'A', &guid, "");
    ck_assert_uint_eq(count(&s), 3);
    free(s.data);
}
END_TEST

START_TEST(what_is_deleted_is_gone)
{
    struct efi_store s = empty_store();
    struct efi_variable v;

    set(&s, 'A', "one", &guid);
    set(&s, 'B', "two", &guid);
    ck_assert_int_eq(find(&s, 'A', &guid, &v), 1);
    ck_assert_int_eq(efi_variable_delete(&s, &v), 0);
    expect(&s, 'A', &guid, NULL);
    expect(&s, 'B', &guid, "two");
    set(&s, 'A', "again", &guid);
    expect(&s, 'A', &guid, "again");
    free(s.data);
}
END_TEST

/* Two of one name, as damage leaves them: both being replaced by nothing, or both the variable. */
START_TEST(what_was_there_twice_does_not_come_back)
{
    static const uint8_t states[] = {0x3e, 0x3f};
    struct efi_store s = empty_store();
    struct efi_variable first, second;

    set(&s, 'A', "one", &guid);
    ck_assert_int_eq(find(&s, 'A', &guid, &first), 1);
    s.data[first.at + 2] = 0x3c;
    set(&s, 'A', "two", &guid);
    ck_assert_int_eq(find(&s, 'A', &guid, &second), 1);
    ck_assert_uint_ne(first.at, second.at);
    s.data[first.at + 2] = s.data[second.at + 2] = states[_i];
    ck_assert_uint_eq(count(&s), 2);
    set(&s, 'A', "three", &guid);
    expect(&s, 'A', &guid, "three");
    ck_assert_uint_eq(count(&s), 1);
    s.data[first.at + 2] = s.data[second.at + 2] = states[_i];
    ck_assert_int_eq(find(&s, 'A', &guid, &first), 1);
    ck_assert_int_eq(efi_variable_delete(&s, &first), 0);
    ck_assert_uint_eq(count(&s), 0);
    free(s.data);
}
END_TEST

/* Also where the GUID that is looked for is that of the variable into which the answer goes. */
START_TEST(a_name_is_looked_for_under_its_guid)
{
    struct efi_store s = empty_store();
    struct efi_variable v, key = named('A', "", &guid);

    set(&s, 'A', "others", &other);
    set(&s, 'A', "ours", &guid);
    v = key;
    ck_assert_int_eq(efi_variable_find(&s, key.name, key.name_len, &v.guid, &v), 1);
    ck_assert_uint_eq(v.len, 4);
    ck_assert_int_eq(efi_variable_delete(&s, &v), 0);
    expect(&s, 'A', &other, "others");
    v = key;
    ck_assert_int_eq(efi_variable_find(&s, key.name, key.name_len, &v.guid, &v), 0);
    free(s.data);
}
END_TEST

/* The states that a store goes through while a variable is replaced. */
START_TEST(every_moment_of_a_change_has_the_old_or_the_new)
{
    struct efi_store s = empty_store();
    struct efi_variable old, new;

    set(&s, 'A', "old", &guid);
    ck_assert_int_eq(find(&s, 'A', &guid, &old), 1);
    set(&s, 'A', "new", &guid);
    ck_assert_int_eq(find(&s, 'A', &guid, &new), 1);
    ck_assert_uint_gt(new.at, old.at);

    s.data[old.at + 2] = 0x3e;
    expect(&s, 'A', &guid, "new");
    ck_assert_uint_eq(count(&s), 1);
    s.data[new.at + 2] = 0x7f;
    expect(&s, 'A', &guid, "old");
    memset(s.data + new.at, 0xff, 60 + 4 + 3);
    expect(&s, 'A', &guid, "old");
    s.data[old.at + 2] = 0x3f;
    expect(&s, 'A', &guid, "old");
    free(s.data);
}
END_TEST

START_TEST(a_full_store_keeps_what_it_has)
{
    struct efi_store s = empty_store();
    struct efi_variable v;
    char value[] = "0000";
    unsigned n = 0;
    int r;

    do {
        value[0] = (char)('0' + n / 1000 % 10);
        value[1] = (char)('0' + n / 100 % 10);
        value[2] = (char)('0' + n / 10 % 10);
        value[3] = (char)('0' + n % 10);
        v = named('A', value, &guid);
        r = efi_variable_set(&s, &v);
        n++;
    } while (!r && n < 9999);
    ck_assert_int_eq(r, -ENOSPC);
    ck_assert_uint_eq(count(&s), 1);
    ck_assert_int_eq(find(&s, 'A', &guid, &v), 1);
    ck_assert_uint_eq((unsigned)atoi((const char[]){(char)v.data[0], (char)v.data[1],
                                                    (char)v.data[2], (char)v.data[3], 0}), n - 2);
    free(s.data);
}
END_TEST

START_TEST(damage_is_told)
{
    struct efi_store s = empty_store();
    struct efi_variable v = {.at = 0}, w = named('A', "x", &guid);

    set(&s, 'A', "one", &guid);
    store_le32(s.data + FIRST + 40, UINT32_MAX); /* the length of its data */
    ck_assert_int_eq(efi_variable_next(&s, &v), -EINVAL);
    ck_assert_int_eq(efi_variable_set(&s, &w), -EINVAL);
    store_le16(s.data + 48, 0xfff0);
    v.at = 0;
    ck_assert_int_eq(efi_variable_next(&s, &v), -EINVAL);
    free(s.data);
}
END_TEST

START_TEST(any_bytes_are_read_without_harm)
{
    struct efi_store s = empty_store(), t = empty_store();
    uint32_t seed = 1;

    set(&s, 'A', "one", &guid);
    set(&s, 'B', "two", &guid);
    set(&s, 'A', "three", &guid);
    for (unsigned n = 0; n < 100000; n++) {
        struct efi_variable v = {.at = 0}, w = named('A', "x", &guid);

        memcpy(t.data, s.data, LEN);
        for (unsigned i = 0; i < 3; i++) {
            seed = seed * 1664525 + 1013904223;
            t.data[seed % (FIRST + 300)] = (uint8_t)(seed >> 24);
        }
        while (efi_variable_next(&t, &v) > 0)
            ck_assert_uint_le((uint64_t)(v.data - t.data) + v.len, LEN);
        (void)!efi_variable_set(&t, &w);
    }
    free(s.data);
    free(t.data);
}
END_TEST

static void add_tests(Suite *s)
{
    TCase *twice = tcase_create("twice");

    UNIT_TEST(s, what_is_set_is_found);
    UNIT_TEST(s, what_is_deleted_is_gone);
    tcase_add_loop_test(twice, what_was_there_twice_does_not_come_back, 0, 2);
    suite_add_tcase(s, twice);
    UNIT_TEST(s, a_name_is_looked_for_under_its_guid);
    UNIT_TEST(s, every_moment_of_a_change_has_the_old_or_the_new);
    UNIT_TEST(s, a_full_store_keeps_what_it_has);
    UNIT_TEST(s, damage_is_told);
    UNIT_TEST(s, any_bytes_are_read_without_harm);
}

UNIT_TEST_MAIN("efi_variables", add_tests)
