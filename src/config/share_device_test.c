/* SPDX-License-Identifier: MIT */
/* Shared directories as they are configured: tags, names, JSON. */
#include <vz/vz.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "unit.h"

START_TEST(tags_are_up_to_35_bytes_of_text)
{
    char tag[VZ_SHARE_TAG_MAX + 2];
    struct vz_error err = {0};

    memset(tag, 'x', sizeof(tag));
    tag[VZ_SHARE_TAG_MAX + 1] = '\0';
    ck_assert_int_eq(vz_share_tag_validate(tag, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    tag[VZ_SHARE_TAG_MAX] = '\0';
    ck_assert_int_eq(vz_share_tag_validate(tag, NULL), 0);
    ck_assert_int_eq(vz_share_tag_validate("Größe/..", NULL), 0);
    ck_assert_int_eq(vz_share_tag_validate("", NULL), -1);
    ck_assert_int_eq(vz_share_tag_validate("\xff", NULL), -1);
    ck_assert_int_eq(vz_share_tag_validate("\xc3", NULL), -1);
    ck_assert_int_eq(vz_share_tag_validate(NULL, NULL), -1);
}
END_TEST

START_TEST(names_are_single_components_and_have_a_canonical_form)
{
    static const char *const bad[][2] = {
        {".", "_"}, {"..", "__"}, {"a/b", "a_b"}, {"/", "_"}, {"../x", ".._x"}, {"a\\b", "a_b"}, {"a:b", "a_b"},
        {"a\nb", "a_b"}, {"\x7f", "_"}, {"\xc2\x85", "_"}, {"\xff", "_"}, {"\xc0\xaf", "__"}};
    static const char *const good[] = {"a", "...", ".x", "Größe", "a b"};
    char longest[VZ_SHARED_DIRECTORY_NAME_MAX + 3], ret[VZ_SHARED_DIRECTORY_NAME_MAX + 1];
    struct vz_error err = {0};

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        ck_assert_msg(vz_shared_directory_name_validate(bad[i][0], &err) == -1, "%s", bad[i][0]);
        ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
        ck_assert_int_eq(vz_shared_directory_name_canonical(bad[i][0], ret, NULL), 0);
        ck_assert_str_eq(ret, bad[i][1]);
        ck_assert_int_eq(vz_shared_directory_name_validate(ret, NULL), 0);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(good); i++)
        ck_assert_int_eq(vz_shared_directory_name_validate(good[i], NULL), 0);
    ck_assert_int_eq(vz_shared_directory_name_validate("", NULL), -1);
    ck_assert_int_eq(vz_shared_directory_name_canonical("", ret, NULL), -1);
    memset(longest, 'x', sizeof(longest));
    strcpy(longest + VZ_SHARED_DIRECTORY_NAME_MAX - 1, "\xc3\xa4"); /* a character that would be cut in two */
    ck_assert_int_eq(vz_shared_directory_name_canonical(longest, ret, NULL), 0);
    ck_assert_uint_eq(strlen(ret), VZ_SHARED_DIRECTORY_NAME_MAX - 1);
}
END_TEST

static void look_for_name(void *arg, const struct vz_problem *problem)
{
    *(bool *)arg |= strstr(problem->object, "directories[") != NULL;
}

START_TEST(shares_go_round_as_json_and_names_must_be_ones)
{
    static const char text[] =
        "{\"directorySharingDevices\": [{\"type\": \"virtioFileSystem\", \"tag\": \"t\", \"ownership\": \"5:6\","
        " \"automount\": true, \"mountPoint\": \"/srv\","
        " \"share\": {\"type\": \"multipleDirectory\", \"directories\": [{\"name\": \"%s\", \"path\": \"/usr\","
        " \"readOnly\": true}, {\"name\": \"b\", \"path\": \"/etc\"}]}}]}";
    static const char *const bad[] = {"..", "a/b", "b"}; /* the last one: twice */
    struct vz_error err = {0};
    struct vz_config *c, *again;
    bool named;
    char json[512], *first, *second;

    snprintf(json, sizeof(json), text, "a");
    c = vz_config_from_json(json, strlen(json), &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    first = vz_config_to_json(c, NULL);
    ck_assert_ptr_nonnull(strstr(first, "\"ownership\": \"5:6\""));
    ck_assert_ptr_nonnull(strstr(first, "\"automount\": true"));
    ck_assert_ptr_nonnull(strstr(first, "\"mountPoint\": \"/srv\""));
    ck_assert_ptr_nonnull(strstr(first, "\"readOnly\": true"));
    again = vz_config_from_json(first, strlen(first), &err);
    ck_assert_msg(again != NULL, "%s", err.text);
    second = vz_config_to_json(again, NULL);
    ck_assert_str_eq(first, second);
    free(first);
    free(second);
    vz_config_unref(c);
    vz_config_unref(again);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        snprintf(json, sizeof(json), text, bad[i]);
        c = vz_config_from_json(json, strlen(json), &err);
        ck_assert_msg(c != NULL, "%s", err.text);
        named = false;
        ck_assert_int_lt(vz_config_validate(c, look_for_name, &named, NULL), 0);
        ck_assert_msg(named, "%s", bad[i]);
        vz_config_unref(c);
    }
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, tags_are_up_to_35_bytes_of_text);
    UNIT_TEST(s, names_are_single_components_and_have_a_canonical_form);
    UNIT_TEST(s, shares_go_round_as_json_and_names_must_be_ones);
}

UNIT_TEST_MAIN("share_device", add_tests)
