/* SPDX-License-Identifier: MIT */
/* The life of slots, with kinds that only remember; and a virtio device that comes and goes. */
#include "device/device_slots.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "config/limits.h"
#include "config/objects.h"
#include "device/device_kinds.h"
#include "fake_virtio_driver.h"
#include "given_slot.h"
#include "unit.h"

/* What has happened, as letters. */
struct story {
    char text[64];
    int fail_at; /* open() of this slot's index fails; -1: none */
    bool holds;  /* quiesce() waits */
};

static struct story *story_of(const struct device_slot *s)
{
    return s->env->arg;
}

static void note(const struct device_slot *s, char what)
{
    char *text = story_of(s)->text;
    size_t len = strlen(text);

    ck_assert_uint_lt(len + 2, sizeof(story_of(s)->text));
    text[len] = what;
    text[len + 1] = (char)('0' + s->index);
}

static int on_open(struct device_slot *s, struct vz_error *err)
{
    note(s, 'o');
    if ((int)s->index == story_of(s)->fail_at)
        return error_set(err, EACCES, VZ_ERROR_IO, s->index ? ".ports[7]: no" : "no");
    return 0;
}

static int on_create(struct device_slot *s, struct vz_error *err)
{
    note(s, 'c');
    return 0;
}

static int on_start(struct device_slot *s, struct vz_error *err)
{
    note(s, 's');
    return 0;
}

static void on_quiesce(struct device_slot *s)
{
    note(s, 'q');
    if (!story_of(s)->holds)
        device_slot_quiet(s);
}

static void on_resume(struct device_slot *s)
{
    note(s, 'r');
}

static void on_remove(struct device_slot *s)
{
    note(s, 'x');
}

static void on_close(struct device_slot *s)
{
    note(s, 'z');
}

static const struct device_kind pci = {
    .bus = DEVICE_ON_PCI, .open = on_open, .create = on_create, .start = on_start,
    .quiesce = on_quiesce, .resume = on_resume, .remove = on_remove, .close = on_close};
static const struct device_kind fixed = {.bus = DEVICE_ON_PORTS, .open = on_open,
                                         .create = on_create, .close = on_close};

struct fixture {
    struct loop *loop;
    struct device_slots *slots;
    struct story story;
};

static void setup(struct fixture *f)
{
    struct device_env env = {.arg = &f->story};

    memset(f, 0, sizeof(*f));
    f->story.fail_at = -1;
    ck_assert_int_eq(loop_create(&f->loop), 0);
    env.loop = f->loop;
    ck_assert_int_eq(device_slots_new(&env, &f->slots), 0);
}

static void teardown(struct fixture *f)
{
    device_slots_free(f->slots);
    loop_destroy(f->loop);
}

static int add(struct fixture *f, const struct device_kind *kind, unsigned index,
               struct device_slot **ret, struct vz_error *err)
{
    const struct config_device device = {.list = "things", .index = index};

    return device_slots_add(f->slots, kind, &device, ret, err);
}

static void create(struct fixture *f)
{
    ck_assert_int_eq(device_slots_create(f->slots, NULL), 0);
}

START_TEST(all_is_opened_before_anything_is_made)
{
    struct fixture f;

    setup(&f);
    ck_assert_int_eq(add(&f, &pci, 0, NULL, NULL), 0);
    ck_assert_int_eq(add(&f, &fixed, 1, NULL, NULL), 0);
    create(&f);
    create(&f); /* there is nothing left to make */
    ck_assert_int_eq(device_slots_start(f.slots, NULL), 0);
    ck_assert_str_eq(f.story.text, "o0o1c0c1s0");
    ck_assert_int_eq(add(&f, &pci, 2, NULL, NULL), 0); /* one that comes later */
    create(&f);
    ck_assert_int_eq(device_slots_start(f.slots, NULL), 0);
    ck_assert_str_eq(f.story.text, "o0o1c0c1s0o2c2s2");
    teardown(&f);
}
END_TEST

START_TEST(what_does_not_open_is_closed_and_says_where)
{
    struct vz_error err;
    struct fixture f;

    setup(&f);
    f.story.fail_at = 0;
    ck_assert_int_eq(add(&f, &pci, 0, NULL, &err), -EACCES);
    ck_assert_str_eq(err.text, "things[0]: no");
    ck_assert_int_eq(err.code, VZ_ERROR_IO);
    f.story.fail_at = 3;
    ck_assert_int_eq(add(&f, &pci, 3, NULL, &err), -EACCES);
    ck_assert_str_eq(err.text, "things[3].ports[7]: no");
    ck_assert_str_eq(f.story.text, "o0z0o3z3");
    ck_assert_ptr_null(device_slots_find(f.slots, "things", 3));
    teardown(&f);
}
END_TEST

static unsigned done_count;

static void on_done(void *arg)
{
    done_count++;
}

START_TEST(quiet_is_when_all_are_and_resume_ends_the_wait)
{
    struct device_slot *a, *b;
    struct fixture f;

    setup(&f);
    done_count = 0;
    ck_assert_int_eq(add(&f, &pci, 0, &a, NULL), 0);
    ck_assert_int_eq(add(&f, &pci, 1, &b, NULL), 0);
    create(&f);
    device_slots_quiesce(f.slots, on_done, NULL);
    ck_assert_uint_eq(done_count, 1);
    f.story.holds = true;
    device_slots_quiesce(f.slots, on_done, NULL);
    device_slot_quiet(a);
    ck_assert_uint_eq(done_count, 1);
    device_slots_resume(f.slots);
    fake_loop_turn(f.loop);
    device_slot_quiet(b); /* too late: nobody waits */
    ck_assert_uint_eq(done_count, 1);
    device_slots_quiesce(f.slots, on_done, NULL);
    device_slot_quiet(b);
    device_slot_quiet(a);
    ck_assert_uint_eq(done_count, 2);
    teardown(&f);
}
END_TEST

/* One that is wanted again before the loop came to a resume gets its answer all the same. */
START_TEST(a_quiesce_overtakes_a_resume)
{
    struct device_slot *a;
    struct fixture f;

    setup(&f);
    done_count = 0;
    ck_assert_int_eq(add(&f, &pci, 0, &a, NULL), 0);
    create(&f);
    f.story.holds = true;
    device_slots_resume(f.slots);
    device_slots_quiesce(f.slots, on_done, NULL);
    fake_loop_turn(f.loop);
    device_slot_quiet(a);
    ck_assert_uint_eq(done_count, 1);
    teardown(&f);
}
END_TEST

START_TEST(places_are_given_and_taken_back)
{
    struct device_slot *s[PCI_DEVICES_MAX], *again;
    struct vz_error err;
    struct fixture f;

    setup(&f);
    memset(&f.story, 0, sizeof(f.story));
    for (unsigned i = 0; i < PCI_DEVICES_MAX; i++) {
        f.story.text[0] = '\0';
        f.story.fail_at = -1;
        ck_assert_int_eq(add(&f, &pci, i, &s[i], &err), 0);
        ck_assert_uint_eq(s[i]->place, i + 1);
    }
    ck_assert_int_eq(add(&f, &pci, 30, NULL, &err), -ENOSPC);
    ck_assert_int_eq(add(&f, &fixed, 0, NULL, &err), 0); /* needs none */
    f.story.text[0] = '\0';
    ck_assert_int_eq(device_slots_remove(f.slots, s[4]), 0);
    ck_assert_int_eq(add(&f, &pci, 4, &again, &err), 0);
    ck_assert_uint_eq(again->place, 5);
    ck_assert_ptr_eq(device_slots_find(f.slots, "things", 4), again);
    memset(f.story.text, 0, sizeof(f.story.text));
    for (unsigned i = 0; i < PCI_DEVICES_MAX; i++) {
        f.story.text[0] = '\0';
        ck_assert_int_eq(device_slots_remove(f.slots, i == 4 ? again : s[i]), 0);
    }
    teardown(&f);
}
END_TEST

START_TEST(only_what_can_go_goes)
{
    struct device_slot *a, *b;
    struct fixture f;

    setup(&f);
    ck_assert_int_eq(add(&f, &fixed, 0, &a, NULL), 0);
    ck_assert_int_eq(add(&f, &pci, 1, &b, NULL), 0);
    create(&f);
    ck_assert_int_eq(device_slots_remove(f.slots, a), -ENOTSUP);
    ck_assert_ptr_eq(device_slots_find_kind(f.slots, &fixed), a);
    ck_assert_int_eq(device_slots_remove(f.slots, b), 0);
    ck_assert_ptr_null(device_slots_find_kind(f.slots, &pci));
    ck_assert_str_eq(f.story.text, "o0o1c0c1x1z1");
    teardown(&f);
}
END_TEST

/* ---- On a bus ------------------------------------------------------------------------------- */

static uint32_t id_at(struct fake_machine *m, unsigned place)
{
    fake_out(m, 0xcf8, 4, 0x80000000u | place << 11);
    return fake_in(m, 0xcfc, 4);
}

/* An entropy device and a disk-less machine: found, gone while its interrupt line is high, and back
 * in its place, in reset state. */
START_TEST(a_virtio_device_comes_and_goes)
{
    struct device_env env = {.cpu_count = 1};
    struct pci_host_options o = {.ecam_base = 0xb0000000, .mem32_base = FV_MSIX,
                                 .mem32_end = 0xfec00000, .io_base = 0x1000, .mem64_base = FV_BAR,
                                 .mem64_end = UINT64_C(1) << 46};
    struct device_slots *slots;
    struct device_slot *s;
    struct fake_machine m;
    struct state_writer w = {0};
    unsigned gsi = pci_intx_gsi(PCI_DEVFN(1, 0), 1);

    fake_machine_init(&m);
    env.loop = m.loop;
    env.bus = m.bus;
    ck_assert_int_eq(mem_create(FV_RAM, &env.mem, NULL), 0);
    ck_assert_int_eq(pci_host_create(m.bus, &o, &env.pci), 0);
    ck_assert_int_eq(device_slots_new(&env, &slots), 0);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(id_at(&m, 1), UINT32_MAX);
        ck_assert_int_eq(device_slots_add(slots, &entropy_kind, NULL, &s, NULL), 0);
        ck_assert_uint_eq(id_at(&m, 1), UINT32_MAX);
        ck_assert_int_eq(device_slots_create(slots, NULL), 0);
        ck_assert_uint_eq(id_at(&m, 1), 0x10441af4);
        pci_assign_bars(env.pci);
        ck_assert_uint_eq(fake_read(&m, FV_COMMON(VIRTIO_PCI_COMMON_STATUS), 1), 0);
        fake_write(&m, FV_COMMON(VIRTIO_PCI_COMMON_STATUS), 1, 3);
        virtio_broken(s->model, "for its interrupt line");
        device_slots_quiesce(slots, on_done, NULL);
        ck_assert_int_eq(device_slots_remove(slots, s), 0);
        ck_assert(!m.level[gsi]);
        ck_assert_uint_eq(fake_read(&m, FV_COMMON(VIRTIO_PCI_COMMON_STATUS), 1), 0xff);
        fake_loop_turn(m.loop); /* nothing of it is left there */
    }
    ck_assert_int_eq(bus_save(m.bus, &w), 0);
    ck_assert_ptr_null(memmem(w.data, w.len, "virtio-rng", 10));
    state_writer_fini(&w);
    bus_destroy(m.bus);
    device_slots_free(slots);
    mem_destroy(env.mem);
    loop_destroy(m.loop);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, all_is_opened_before_anything_is_made);
    UNIT_TEST(s, what_does_not_open_is_closed_and_says_where);
    UNIT_TEST(s, quiet_is_when_all_are_and_resume_ends_the_wait);
    UNIT_TEST(s, a_quiesce_overtakes_a_resume);
    UNIT_TEST(s, places_are_given_and_taken_back);
    UNIT_TEST(s, only_what_can_go_goes);
    UNIT_TEST(s, a_virtio_device_comes_and_goes);
}

UNIT_TEST_MAIN("device_slots", add_tests)
