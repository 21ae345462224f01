/* SPDX-License-Identifier: MIT */
/* What a configuration accepts, refuses, and keeps. */
#include "unit.h"

#include <string.h>

#include "api/config_impl.h"

static struct vz_config_options good(void)
{
    struct vz_config_options o = VZ_CONFIG_OPTIONS_INIT;

    o.kernel = "vmlinuz";
    o.memory_size = 64u << 20;
    return o;
}

static void expect_refused(const struct vz_config_options *o, const char *named)
{
    struct vz_error err = {0};

    ck_assert_ptr_null(vz_config_new(o, &err));
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    ck_assert_msg(strstr(err.text, named) != NULL, "'%s' does not name %s", err.text, named);
    ck_assert_ptr_null(vz_config_new(o, NULL));
}

START_TEST(config_keeps_a_copy)
{
    char name[] = "vmlinuz";
    struct vz_config_options o = good();
    struct vz_config *c, *d;

    o.kernel = name;
    c = vz_config_new(&o, NULL);
    ck_assert_ptr_nonnull(c);
    name[0] = 'X';
    ck_assert_str_eq(c->o.kernel, "vmlinuz");
    d = config_copy(c);
    vz_config_free(c);
    ck_assert_str_eq(d->o.kernel, "vmlinuz");
    ck_assert_str_eq(d->o.accel, "auto");
    ck_assert_ptr_null(d->o.initrd);
    vz_config_free(d);
    vz_config_free(NULL);
}
END_TEST

START_TEST(config_refuses_memory_out_of_range)
{
    struct vz_config_options o = good();

    o.memory_size = 0;
    expect_refused(&o, "memory");
    o.memory_size = vz_config_memory_min() - 4096;
    expect_refused(&o, "memory");
    o.memory_size = vz_config_memory_max() + 4096;
    expect_refused(&o, "memory");
    o.memory_size = UINT64_MAX;
    expect_refused(&o, "memory");
    o.memory_size = vz_config_memory_min() + 1;
    expect_refused(&o, "memory");
}
END_TEST

START_TEST(config_refuses_other_nonsense)
{
    struct vz_config_options o = good();

    o.cpu_count = 0;
    expect_refused(&o, "CPU");
    o.cpu_count = vz_config_cpu_max() + 1;
    expect_refused(&o, "CPU");
    o = good();
    o.kernel = NULL;
    expect_refused(&o, "kernel");
    o = good();
    o.accel = "";
    expect_refused(&o, "accelerator");
    o = good();
    o.serial = VZ_SERIAL_FILE;
    expect_refused(&o, "serial");
    o = good();
    o.serial = 77;
    expect_refused(&o, "serial");
    o = good();
    o.size = sizeof(o) + 8;
    expect_refused(&o, "size");
    o.size = 0;
    expect_refused(&o, "size");
}
END_TEST

START_TEST(config_takes_an_older_callers_options)
{
    struct vz_config_options o = good();
    struct vz_config *c;

    o.size = offsetof(struct vz_config_options, initrd); /* a caller that knows no more */
    o.initrd = (const char *)1;
    c = vz_config_new(&o, NULL);
    ck_assert_ptr_nonnull(c);
    ck_assert_ptr_null(c->o.initrd);
    ck_assert_int_eq(c->o.serial_read_fd, -1);
    vz_config_free(c);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, config_keeps_a_copy);
    UNIT_TEST(s, config_refuses_memory_out_of_range);
    UNIT_TEST(s, config_refuses_other_nonsense);
    UNIT_TEST(s, config_takes_an_older_callers_options);
}

UNIT_TEST_MAIN("config", add_tests)
