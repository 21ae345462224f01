/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include "unit.h"

static const struct {
    const char *text;
    size_t len;
} cases[] = {
    {"a", 1}, {"\x7f", 1}, {"\xc2\x80", 2}, {"\xdf\xbf", 2}, {"\xe0\xa0\x80", 3}, {"\xed\x9f\xbf", 3},
    {"\xee\x80\x80", 3}, {"\xef\xbf\xbf", 3}, {"\xf0\x90\x80\x80", 4}, {"\xf4\x8f\xbf\xbf", 4},
    {"\x80", 0}, {"\xbf", 0}, {"\xc0\x80", 0}, {"\xc1\xbf", 0}, {"\xe0\x9f\xbf", 0}, {"\xed\xa0\x80", 0},
    {"\xf0\x8f\xbf\xbf", 0}, {"\xf4\x90\x80\x80", 0}, {"\xf5\x80\x80\x80", 0}, {"\xff", 0},
    {"\xc3", 0}, {"\xe2\x82", 0}, {"\xf0\x9f\x98", 0}, {"\xc3" "a", 0},
};

START_TEST(characters_are_as_long_as_they_must_be)
{
    ck_assert_uint_eq(utf8_len(cases[_i].text), cases[_i].len);
    ck_assert(utf8_is_text(cases[_i].text) == (cases[_i].len > 0));
}
END_TEST

START_TEST(text_is_characters_to_its_end)
{
    ck_assert(utf8_is_text(""));
    ck_assert(utf8_is_text("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z"));
    ck_assert(!utf8_is_text("a\xc3\xa4\xe2\x82"));
    ck_assert(!utf8_is_text("a\xff" "b"));
}
END_TEST

static void add_tests(Suite *s)
{
    TCase *c = tcase_create("characters_are_as_long_as_they_must_be");

    tcase_add_loop_test(c, characters_are_as_long_as_they_must_be, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    suite_add_tcase(s, c);
    UNIT_TEST(s, text_is_characters_to_its_end);
}

UNIT_TEST_MAIN("utf8", add_tests)
