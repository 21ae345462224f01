/* SPDX-License-Identifier: MIT */
#include <vz/host.h>

#include <stdlib.h>
#include <string.h>

#include "unit.h"

START_TEST(findings_say_their_size_and_are_those_of_the_json)
{
    struct vz_error err = {.text = ""};
    struct vz_host *h = vz_host_examine(&err);
    char *json;

    ck_assert_msg(h != NULL, "%s", err.text);
    json = vz_host_to_json(h, &err);
    ck_assert_ptr_nonnull(json);
    ck_assert_uint_gt(vz_host_finding_count(h), 1);
    ck_assert_str_eq(vz_host_finding(h, 0)->topic, "accelerator");
    for (size_t i = 0; i < vz_host_finding_count(h); i++) {
        const struct vz_host_finding *f = vz_host_finding(h, i);

        ck_assert_uint_eq(f->size, sizeof(struct vz_host_finding));
        ck_assert(f->level <= VZ_HOST_PROBLEM);
        ck_assert(*f->topic && *f->code && *f->text && f->command);
        ck_assert_ptr_nonnull(strstr(json, f->code));
    }
    ck_assert_ptr_null(vz_host_finding(h, vz_host_finding_count(h)));
    free(json);
    vz_host_free(h);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, findings_say_their_size_and_are_those_of_the_json);
}

UNIT_TEST_MAIN("api/host_report", add_tests)
