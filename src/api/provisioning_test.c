/* SPDX-License-Identifier: MIT */
#include <vz/provisioning.h>

#include <jansson.h>
#include <string.h>

#include "unit.h"

static struct vz_error err;

static char *from_json(const char *text)
{
    err = (struct vz_error){.text = ""};
    return vz_provisioning_user_data_from_json(text, strlen(text), &err);
}

static void refused(const char *text, int code)
{
    char *data = from_json(text);

    ck_assert_msg(!data && (int)err.code == code && err.text[0], "%s: %d %s", text, err.code, err.text);
}

START_TEST(names_and_passwords_have_rules_with_codes_of_their_own)
{
    refused("{\"username\": \"me\", \"fullName\": \"\"}", 40001);
    refused("{\"username\": \"me\", \"fullName\": \"  \"}", 40001);
    refused("{\"username\": \"me\", \"fullName\": \"a:b\"}", 40001);
    refused("{\"username\": \"me\", \"fullName\": \"a\\nb\"}", 40001);
    refused("{\"username\": \"\"}", 40002);
    refused("{\"username\": \"Me\"}", 40002);
    refused("{\"username\": \"1me\"}", 40002);
    refused("{\"username\": \"-me\"}", 40002);
    refused("{\"username\": \"m e\"}", 40002);
    refused("{\"username\": \"root\"}", 40002);
    refused("{\"username\": \"a23456789012345678901234567890123\"}", 40002);
    refused("{\"password\": \"secret\"}", 40002);
    refused("{\"username\": \"me\", \"password\": \"\"}", 40003);
    refused("{\"username\": \"me\", \"password\": \"a\\u0007\"}", 40003);
    free(from_json("{\"username\": \"a2345678901234567890123456789012\"}"));
    ck_assert_str_eq(err.text, "");
}
END_TEST

START_TEST(other_mistakes_are_named)
{
    refused("{", 2);
    refused("[]", 2);
    refused("{\"user\": \"me\"}", 2);
    refused("{\"username\": 5}", 2);
    refused("{\"hostname\": \"a b\"}", 2);
    refused("{\"locale\": \"$(x)\"}", 2);
    refused("{\"timezone\": \"a;b\"}", 2);
    refused("{\"packages\": [\"--option\"]}", 2);
    refused("{\"packages\": \"vim\"}", 2);
    refused("{\"username\": \"me\", \"sshKeys\": [\"nonsense\"]}", 2);
    refused("{\"script\": \"no interpreter\"}", 2);
    ck_assert_int_eq(vz_provisioning_validate(NULL, &err), -1);
}
END_TEST

START_TEST(all_of_it_is_in_the_user_data)
{
    char *data = from_json("{\"fullName\": \"Me \\\"and\\\" \\u00e4\", \"username\": \"me\", \"password\": \"p'\\\"w\", "
                           "\"logsInAutomatically\": true, \"enablesRemoteLogin\": true, "
                           "\"sshKeys\": [\"ssh-ed25519 AAAA me\"], \"hostname\": \"web-1\", \"locale\": \"de_DE.UTF-8\", "
                           "\"timezone\": \"Europe/Berlin\", \"packages\": [\"vim\"], \"script\": \"#!/bin/sh\\ntrue\\n\"}");
    json_t *all, *user;

    ck_assert_msg(data != NULL, "%s", err.text);
    ck_assert(!strncmp(data, "#cloud-config\n", 14));
    all = json_loads(data + 14, 0, NULL);
    ck_assert_ptr_nonnull(all);
    user = json_array_get(json_object_get(all, "users"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(user, "name")), "me");
    ck_assert_str_eq(json_string_value(json_object_get(user, "gecos")), "Me \"and\" \u00e4");
    ck_assert_str_eq(json_string_value(json_object_get(user, "plain_text_passwd")), "p'\"w");
    ck_assert(json_is_false(json_object_get(user, "lock_passwd")));
    ck_assert_uint_eq(json_array_size(json_object_get(user, "ssh_authorized_keys")), 1);
    ck_assert_str_eq(json_string_value(json_object_get(all, "hostname")), "web-1");
    ck_assert_uint_eq(json_array_size(json_object_get(all, "packages")), 2);
    ck_assert_uint_eq(json_array_size(json_object_get(all, "write_files")), 3);
    ck_assert_uint_eq(json_array_size(json_object_get(all, "runcmd")), 2);
    ck_assert(json_is_true(json_object_get(all, "ssh_pwauth")));
    json_decref(all);
    free(data);
}
END_TEST

START_TEST(nothing_said_is_nothing_changed)
{
    char *data = from_json("{}");

    ck_assert_str_eq(data, "#cloud-config\n{}\n");
    free(data);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, names_and_passwords_have_rules_with_codes_of_their_own);
    UNIT_TEST(s, other_mistakes_are_named);
    UNIT_TEST(s, all_of_it_is_in_the_user_data);
    UNIT_TEST(s, nothing_said_is_nothing_changed);
}

UNIT_TEST_MAIN("api/provisioning", add_tests)
