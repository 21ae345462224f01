/* SPDX-License-Identifier: MIT */
/* Addresses of NBD exports: their parts, and what is no address. */
#include "base/nbd_uri.h"

#include <errno.h>
#include <string.h>
#include <vz/error.h>

#include "unit.h"

static struct nbd_uri parse(const char *text)
{
    struct vz_error err = {.text = ""};
    struct nbd_uri u;

    ck_assert_msg(nbd_uri_parse(text, &u, &err) == 0, "%s: %s", text, err.text);
    return u;
}

START_TEST(addresses_have_parts)
{
    struct nbd_uri u = parse("nbd://example.org");

    ck_assert_str_eq(u.host, "example.org");
    ck_assert_str_eq(u.port, "10809");
    ck_assert_str_eq(u.export, "");
    ck_assert(!u.tls);
    u = parse("NBD://[::1]:1234/a%20b/c");
    ck_assert_str_eq(u.host, "::1");
    ck_assert_str_eq(u.port, "1234");
    ck_assert_str_eq(u.export, "a b/c");
    u = parse("nbds://alice@h:1/x?tls-psk-file=/keys%3f&tls-verify-peer=false");
    ck_assert(u.tls && u.no_verify);
    ck_assert_str_eq(u.user, "alice");
    ck_assert_str_eq(u.psk_file, "/keys?");
    u = parse("nbds://h//x?tls-certificates=/pki");
    ck_assert_str_eq(u.export, "/x");
    ck_assert_str_eq(u.certificates, "/pki");
    u = parse("nbd+unix:///disk?socket=/run/a=b");
    ck_assert_str_eq(u.socket, "/run/a=b");
    ck_assert_str_eq(u.export, "disk");
    ck_assert_str_eq(u.host, "");
    u = parse("nbds+unix://?socket=s");
    ck_assert(u.tls);
    ck_assert_str_eq(u.export, "");
}
END_TEST

START_TEST(what_is_no_address_is_told)
{
    static const char *const bad[][2] = {
        {"", "expected nbd://"}, {"nbd:", "expected nbd://"}, {"nbd+ssh://h/x", "expected nbd://"},
        {"nbd:///x", "no host"}, {"nbd://h:0/", "port"}, {"nbd://h:65536/", "port"}, {"nbd://h:/", "port"},
        {"nbd://h:1x/", "port"}, {"nbd://h:123456/", "port"}, {"nbd://[::1/x", "']'"}, {"nbd://[::1]x/", "']'"},
        {"nbd://h/%", "'%'"}, {"nbd://h/%4", "'%'"}, {"nbd://h/%zz", "'%'"}, {"nbd://h/a%00b", "%00"},
        {"nbd://h/x#y", "%23"}, {"nbd://h/x?socket=/s", "nbd+unix"}, {"nbd+unix:///x", "?socket=PATH"},
        {"nbd+unix://h/x?socket=/s", "no host"}, {"nbd+unix:///x?socket=", "empty"},
        {"nbd+unix:///x?socket=a&socket=b", "twice"}, {"nbd://h/x?colour=red", "expected after '?'"},
        {"nbd://h/x?", "expected after '?'"}, {"nbd://u@h/x", "nbds"}, {"nbds://@h/x", "user"},
        {"nbd://h/?tls-psk-file=k", "nbds"}, {"nbds://h/?tls-verify-peer=maybe", "true or false"}};
    struct nbd_uri u;

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct vz_error err = {.text = ""};

        ck_assert_msg(nbd_uri_parse(bad[i][0], &u, &err) == -EINVAL, "%s", bad[i][0]);
        ck_assert_msg(strstr(err.text, bad[i][1]), "%s: %s", bad[i][0], err.text);
    }
}
END_TEST

START_TEST(long_names_fit_or_are_refused)
{
    char text[NBD_URI_MAX + 32] = "nbd://h/";
    struct nbd_uri u;

    memset(text + 8, 'x', NBD_EXPORT_MAX);
    ck_assert_uint_eq(strlen(parse(text).export), NBD_EXPORT_MAX);
    text[8 + NBD_EXPORT_MAX] = 'x';
    ck_assert_int_eq(nbd_uri_parse(text, &u, NULL), -EINVAL);
    memset(text + 6, 'h', 300);
    ck_assert_int_eq(nbd_uri_parse(text, &u, NULL), -EINVAL);
    memset(text, '/', sizeof(text) - 1);
    memcpy(text, "nbd://h", 7);
    ck_assert_int_eq(nbd_uri_parse(text, &u, NULL), -EINVAL);
}
END_TEST

START_TEST(addresses_are_told_from_paths)
{
    ck_assert(nbd_uri_is("nbd://h") && nbd_uri_is("nbds:x") && nbd_uri_is("nbd+unix:///x"));
    ck_assert(!nbd_uri_is("/nbd") && !nbd_uri_is("nbd") && !nbd_uri_is("nbd.img") && !nbd_uri_is("./nbd:x"));
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, addresses_have_parts);
    UNIT_TEST(s, what_is_no_address_is_told);
    UNIT_TEST(s, long_names_fit_or_are_refused);
    UNIT_TEST(s, addresses_are_told_from_paths);
}

UNIT_TEST_MAIN("nbd_uri", add_tests)
