/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "chipset/chipset.h"
#include "fake_machine.h"
#include "golden.h"
#include "unit.h"

#define BASE UINT64_C(0xffc00000)
#define LEN  (4 * FLASH_BLOCK)

struct rig {
    struct fake_machine m;
    uint8_t data[LEN], stored[LEN];
    unsigned writes, syncs;
    int failure;
};

static int on_write(void *arg, uint32_t at, const uint8_t *bytes, uint32_t len)
{
    struct rig *r = arg;

    if (r->failure)
        return r->failure;
    ck_assert_uint_le(at + len, LEN);
    memcpy(r->stored + at, bytes, len);
    r->writes++;
    return 0;
}

static void on_sync(void *arg)
{
    ((struct rig *)arg)->syncs++;
}

static void rig_init_with(struct rig *r, bool guarded)
{
    struct flash_options o = {.base = BASE, .len = LEN, .data = r->data, .write = on_write,
                              .sync = on_sync, .arg = r, .guarded = guarded};

    memset(r, 0, sizeof(*r));
    fake_machine_init(&r->m);
    for (unsigned i = 0; i < LEN; i++)
        r->data[i] = r->stored[i] = (uint8_t)(i * 7);
    ck_assert_int_eq(flash_create(r->m.bus, &o), 0);
}

static void rig_init(struct rig *r)
{
    rig_init_with(r, false);
}

static void erase(struct rig *r, uint32_t at)
{
    fake_write(&r->m, BASE + at, 1, 0x20);
    fake_write(&r->m, BASE + at, 1, 0xd0);
    fake_write(&r->m, BASE + at, 1, 0xff);
    r->writes = r->syncs = 0;
}

/* Its bytes are those of the file. */
static void check_stored(struct rig *r)
{
    fake_write(&r->m, BASE, 1, 0xff); /* of whatever command: */
    fake_write(&r->m, BASE, 1, 0xff);
    fake_write(&r->m, BASE, 1, 0xff);
    for (unsigned i = 0; i < LEN; i++)
        ck_assert_uint_eq(fake_read(&r->m, BASE + i, 1), r->stored[i]);
}

static void rig_fini(struct rig *r)
{
    fake_machine_fini(&r->m);
}

static void out(struct rig *r, uint32_t at, uint8_t v)
{
    fake_write(&r->m, BASE + at, 1, v);
}

static uint8_t in(struct rig *r, uint32_t at)
{
    return (uint8_t)fake_read(&r->m, BASE + at, 1);
}

START_TEST(it_reads_as_memory)
{
    struct rig r;

    rig_init(&r);
    ck_assert_uint_eq(in(&r, 5), 35);
    ck_assert_uint_eq(fake_read(&r.m, BASE + 8, 8), UINT64_C(0x69625b544d463f38));
    rig_fini(&r);
}
END_TEST

/* edk2's QemuFlashDetected() */
START_TEST(firmware_takes_it_for_flash)
{
    struct rig r;

    rig_init(&r);
    out(&r, 9, 0x50);
    ck_assert_uint_eq(in(&r, 9), 63); /* no RAM: the command is not there */
    out(&r, 9, 0x70);
    ck_assert_uint_eq(in(&r, 9), 0);  /* no ROM: the byte is not there either */
    out(&r, 9, 0xff);
    ck_assert_uint_eq(in(&r, 9), 63);
    rig_fini(&r);
}
END_TEST

START_TEST(programming_only_clears_bits)
{
    struct rig r;

    rig_init(&r);
    ck_assert_uint_eq(in(&r, 144), 0xf0);
    out(&r, 144, 0x10);
    out(&r, 144, 0x3c);
    ck_assert_uint_eq(in(&r, 0), 0x80); /* ready */
    out(&r, 0, 0xff);
    ck_assert_uint_eq(in(&r, 144), 0x30);
    ck_assert_uint_eq(r.stored[144], 0x30);
    ck_assert_uint_eq(r.writes, 1);
    ck_assert_uint_eq(r.syncs, 1);
    out(&r, 0, 0xff);
    ck_assert_uint_eq(r.syncs, 1); /* nothing has changed since */
    rig_fini(&r);
}
END_TEST

START_TEST(erasing_sets_a_block_and_no_other)
{
    struct rig r;

    rig_init(&r);
    out(&r, FLASH_BLOCK + 100, 0x20);
    out(&r, FLASH_BLOCK + 100, 0xd0);
    ck_assert_uint_eq(in(&r, 0) & 0xb0, 0x80);
    out(&r, 0, 0xff);
    for (unsigned i = 0; i < LEN; i++) {
        uint8_t want = i / FLASH_BLOCK == 1 ? 0xff : (uint8_t)(i * 7);

        ck_assert_uint_eq(in(&r, i), want);
        ck_assert_uint_eq(r.stored[i], want);
    }
    out(&r, 0, 0x20);
    out(&r, 0, 0xff); /* no confirmation */
    ck_assert_uint_eq(in(&r, 1), 7);
    rig_fini(&r);
}
END_TEST

START_TEST(a_buffer_is_programmed_at_once)
{
    struct rig r;

    rig_init(&r);
    erase(&r, 0);
    out(&r, 64, 0xe8);
    ck_assert_uint_eq(in(&r, 64) & 0x80, 0x80);
    out(&r, 64, 3);
    for (unsigned i = 0; i < 4; i++)
        out(&r, 64 + i, (uint8_t)(i + 1));
    ck_assert_uint_eq(r.writes, 0);
    out(&r, 64, 0xd0);
    ck_assert_uint_eq(r.writes, 1);
    out(&r, 64, 0xff);
    ck_assert_uint_eq(fake_read(&r.m, BASE + 64, 4), 0x04030201);
    ck_assert_uint_eq(in(&r, 68), 0xff);
    rig_fini(&r);
}
END_TEST

START_TEST(what_goes_wrong_is_in_the_status)
{
    struct rig r;

    rig_init(&r);
    r.failure = -ENOSPC;
    out(&r, 0, 0x40);
    out(&r, 0, 0);
    ck_assert_uint_eq(in(&r, 0), 0x90);
    out(&r, 0, 0x20);
    out(&r, 0, 0xd0);
    ck_assert_uint_eq(in(&r, 0), 0xb0);
    out(&r, 0, 0xff);
    ck_assert_uint_eq(in(&r, 1), 7); /* and nothing has changed */
    out(&r, 0, 0x20);
    out(&r, 0, 0x12); /* no confirmation, and no Read Array either */
    ck_assert_uint_eq(in(&r, 0) & 0x30, 0x30);
    out(&r, 0, 0xe8);
    out(&r, 0, 200); /* more than the buffer takes */
    ck_assert_uint_eq(in(&r, 0) & 0x30, 0x30);
    out(&r, 0, 0xe8);
    out(&r, 0, 1);
    out(&r, LEN - 1, 0);
    out(&r, 0, 0); /* outside of what it is for */
    ck_assert_uint_eq(in(&r, 0) & 0x30, 0x30);
    rig_fini(&r);
}
END_TEST

START_TEST(a_buffer_does_not_run_over_the_end)
{
    struct rig r;

    rig_init(&r);
    out(&r, 0, 0xe8);
    out(&r, 0, 1);
    out(&r, LEN - 1, 0);
    out(&r, LEN - 1, 0);
    out(&r, 0, 0xd0);
    ck_assert_uint_eq(r.writes, 0);
    ck_assert_uint_eq(in(&r, 0) & 0x30, 0x30);
    rig_fini(&r);
}
END_TEST

START_TEST(it_says_what_it_is)
{
    struct rig r;

    rig_init(&r);
    out(&r, 0, 0x98);
    ck_assert_uint_eq(in(&r, 0x10), 'Q');
    ck_assert_uint_eq(in(&r, 0x11), 'R');
    ck_assert_uint_eq(in(&r, 0x12), 'Y');
    ck_assert_uint_eq(in(&r, 0x13), 1);
    ck_assert_uint_eq(in(&r, 0x27), 14);              /* 2^14 bytes */
    ck_assert_uint_eq(in(&r, 0x2d), 3);               /* 4 blocks */
    ck_assert_uint_eq(in(&r, 0x2f) | in(&r, 0x30) << 8, FLASH_BLOCK / 256);
    out(&r, 0, 0x90);
    ck_assert_uint_eq(in(&r, 0), 0x89);
    out(&r, 0, 0xff);
    rig_fini(&r);
}
END_TEST

START_TEST(a_save_is_in_the_middle_of_a_command)
{
    struct state_writer w = {0};
    struct rig r, s;

    rig_init(&r);
    rig_init(&s);
    erase(&r, 0);
    out(&r, 8, 0xe8);
    out(&r, 8, 1);
    out(&r, 8, 0x11);
    ck_assert_int_eq(bus_save(r.m.bus, &w), 0);
    ck_assert_int_eq(bus_load(s.m.bus, w.data, w.len, NULL), 0);
    out(&s, 9, 0x22);
    out(&s, 8, 0xd0);
    out(&s, 8, 0xff);
    ck_assert_uint_eq(fake_read(&s.m, BASE + 8, 2), 0x2211);
    state_writer_fini(&w);
    rig_fini(&r);
    rig_fini(&s);
}
END_TEST

START_TEST(a_save_has_what_is_in_it)
{
    struct state_writer w = {0};
    struct rig r, s;

    rig_init(&r);
    rig_init(&s);
    erase(&r, FLASH_BLOCK);
    ck_assert_int_eq(bus_save(r.m.bus, &w), 0);
    ck_assert_int_eq(bus_load(s.m.bus, w.data, w.len, NULL), 0);
    ck_assert_uint_eq(in(&s, FLASH_BLOCK), 0xff);
    ck_assert_int_eq(memcmp(s.stored, r.stored, LEN), 0); /* the file, too */
    ck_assert_uint_eq(s.syncs, 1);
    check_stored(&s);
    s.failure = -ENOSPC; /* which keeps nobody from going on */
    ck_assert_int_eq(bus_load(s.m.bus, w.data, w.len, NULL), 0);
    state_writer_fini(&w);
    rig_fini(&r);
    rig_fini(&s);
}
END_TEST

START_TEST(golden_flash_is_loaded)
{
    struct state_writer now = {0}, then;
    struct rig r, s;

    rig_init(&r);
    rig_init(&s);
    erase(&r, FLASH_BLOCK);
    out(&r, 8, 0xe8); /* in the middle of a command */
    ck_assert_int_eq(bus_save(r.m.bus, &now), 0);
    then = golden_sections("flash-0.4.sections", &now);
    ck_assert_int_eq(bus_load(s.m.bus, then.data, then.len, NULL), 0);
    out(&s, 8, 0);
    out(&s, 8, 0x11);
    out(&s, 8, 0xd0);
    out(&s, 8, 0xff);
    ck_assert_uint_eq(in(&s, FLASH_BLOCK), 0xff);
    ck_assert_uint_eq(in(&s, 8), 0x11 & 56);
    ck_assert_uint_eq(in(&s, 9), 63);
    state_writer_fini(&now);
    state_writer_fini(&then);
    rig_fini(&r);
    rig_fini(&s);
}
END_TEST

START_TEST(whatever_is_written_stays_inside)
{
    struct rig r;
    uint32_t seed = 1;

    rig_init(&r);
    for (unsigned n = 0; n < 200000; n++) {
        unsigned size;

        seed = seed * 1664525 + 1013904223;
        size = 1u << (seed >> 30);
        if (seed & 1)
            fake_write(&r.m, BASE + (seed >> 4) % LEN / size * size, size,
                       (uint64_t)(seed >> 8) * 0x9e3779b97f4a7c15);
        else
            (void)fake_read(&r.m, BASE + (seed >> 4) % LEN / size * size, size);
    }
    check_stored(&r);
    rig_fini(&r);
}
END_TEST

START_TEST(a_guarded_bank_takes_commands_in_management_mode_only)
{
    struct rig r;
    uint64_t inside = BASE | HV_GPA_SMM;

    rig_init_with(&r, true);
    fake_write(&r.m, BASE + 8, 1, 0x40);
    fake_write(&r.m, BASE + 8, 1, 0);
    ck_assert_uint_eq(r.writes, 0);
    ck_assert_uint_eq(fake_read(&r.m, BASE + 8, 1), 8 * 7);
    fake_write(&r.m, inside + 8, 1, 0x40);
    ck_assert_uint_eq(fake_read(&r.m, BASE + 8, 4), 0x4d463f38); /* not the status */
    fake_write(&r.m, BASE + 8, 1, 0xff); /* nor does it come in between */
    fake_write(&r.m, inside + 8, 1, 0);
    ck_assert_uint_eq(r.writes, 1);
    ck_assert_uint_eq(r.stored[8], 0);
    ck_assert_uint_eq(fake_read(&r.m, inside + 8, 1), 0x80);
    fake_write(&r.m, inside, 1, 0xff);
    ck_assert_uint_eq(fake_read(&r.m, BASE + 8, 1), 0);
    fake_machine_fini(&r.m);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, it_reads_as_memory);
    UNIT_TEST(s, firmware_takes_it_for_flash);
    UNIT_TEST(s, programming_only_clears_bits);
    UNIT_TEST(s, erasing_sets_a_block_and_no_other);
    UNIT_TEST(s, a_buffer_is_programmed_at_once);
    UNIT_TEST(s, what_goes_wrong_is_in_the_status);
    UNIT_TEST(s, a_buffer_does_not_run_over_the_end);
    UNIT_TEST(s, it_says_what_it_is);
    UNIT_TEST(s, a_save_is_in_the_middle_of_a_command);
    UNIT_TEST(s, a_save_has_what_is_in_it);
    UNIT_TEST(s, golden_flash_is_loaded);
    UNIT_TEST(s, whatever_is_written_stays_inside);
    UNIT_TEST(s, a_guarded_bank_takes_commands_in_management_mode_only);
}

UNIT_TEST_MAIN("flash", add_tests)
