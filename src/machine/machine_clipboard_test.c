/* SPDX-License-Identifier: MIT */
/* The parties to a clipboard among themselves, without a guest: who offers, who is asked, who loses, and when they go. */
#include <vz/vz.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "machine/machine_fixture.h"
#include "unit.h"

static struct vz_machine *machine;

static struct vz_machine *new_machine(bool shares, bool dispatched)
{
    struct vz_machine_options options = VZ_MACHINE_OPTIONS_INIT;
    struct vz_config *c = make_config("/proc/self/exe", 1, false); /* it is not started */
    struct vz_virtio_console_options o = VZ_VIRTIO_CONSOLE_OPTIONS_INIT;
    struct vz_console_port_options port = VZ_CONSOLE_PORT_OPTIONS_INIT;
    struct vz_console_device *d;
    struct vz_machine *m;
    struct vz_error err;

    port.name = VZ_SPICE_AGENT_PORT_NAME;
    port.attachment = vz_spice_agent_attachment_new(shares, NULL);
    o.ports = &port;
    o.port_count = 1;
    d = vz_virtio_console_device_new(&o, NULL);
    ck_assert_int_eq(vz_config_add_console_device(c, d, NULL), 0);
    options.use_events_fd = dispatched;
    m = vz_machine_new(c, &options, &err);
    ck_assert_msg(m != NULL, "%s", err.text);
    vz_console_device_unref(d);
    vz_serial_attachment_unref(port.attachment);
    vz_config_unref(c);
    return m;
}

static void setup(void)
{
    machine = new_machine(true, false);
}

static void teardown(void)
{
    vz_machine_free(machine);
}

/* A party that counts. */
struct party {
    struct vz_clipboard *c;
    atomic_uint lost, wanted, offered, types;
    uint64_t request; /* the last one */
    bool answers, leaves;
};

static void on_offered(void *arg, struct vz_clipboard *c, enum vz_selection s, unsigned types)
{
    struct party *p = arg;

    p->types = types;
    p->offered++;
}

static void on_wanted(void *arg, struct vz_clipboard *c, enum vz_selection s, enum vz_clipboard_type type,
                      uint64_t request)
{
    struct party *p = arg;

    p->request = request;
    p->wanted++;
    if (p->leaves)
        vz_clipboard_free(c);
    else if (p->answers)
        vz_clipboard_provide(c, request, "asked for", 9, NULL);
}

static void on_lost(void *arg, struct vz_clipboard *c, enum vz_selection s)
{
    ((struct party *)arg)->lost++;
}

static void join(struct party *p)
{
    struct vz_clipboard_options o = VZ_CLIPBOARD_OPTIONS_INIT;

    memset(p, 0, sizeof(*p));
    o.offered = on_offered;
    o.wanted = on_wanted;
    o.lost = on_lost;
    o.arg = p;
    p->c = vz_clipboard_new(machine, &o, NULL);
    ck_assert_ptr_nonnull(p->c);
}

static void until(const atomic_uint *what, unsigned value)
{
    for (unsigned i = 0; i < 20000 && *what != value; i++)
        usleep(1000);
    ck_assert_uint_eq(*what, value);
}

static void expect_text(struct party *p, const char *text)
{
    struct vz_error err = {0};
    size_t len;
    char *got = vz_clipboard_fetch_wait(p->c, VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_TEXT, &len, &err);

    ck_assert_msg(got != NULL, "%s", err.text);
    ck_assert(len == strlen(text) && !strcmp(got, text));
    free(got);
}

static void expect_error(struct party *p, enum vz_error_code code)
{
    struct vz_error err = {0};

    ck_assert_ptr_null(vz_clipboard_fetch_wait(p->c, VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_TEXT, NULL, &err));
    ck_assert_int_eq(err.code, code);
}

START_TEST(the_last_who_copies_is_asked)
{
    struct vz_clipboard_state state = VZ_CLIPBOARD_STATE_INIT;
    struct party a, b;

    join(&a);
    join(&b);
    expect_error(&a, VZ_ERROR_INVALID_STATE);
    a.answers = true;
    ck_assert_int_eq(vz_clipboard_offer(a.c, VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_BIT(VZ_CLIPBOARD_TEXT), NULL), 0);
    until(&b.types, VZ_CLIPBOARD_BIT(VZ_CLIPBOARD_TEXT));
    ck_assert_uint_eq(a.wanted, 0);
    expect_text(&b, "asked for");
    ck_assert_uint_eq(a.wanted, 1);
    ck_assert_int_eq(vz_clipboard_set(b.c, VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_TEXT, "kept", 4, NULL), 0);
    until(&a.lost, 1);
    expect_text(&a, "kept");
    expect_text(&b, "kept");
    ck_assert_uint_eq(b.wanted, 0);
    ck_assert_int_eq(vz_clipboard_get_state(b.c, &state, NULL), 0);
    ck_assert(!state.agent && state.types[0] == 2 && !state.is_guest[0] && state.is_own[0] && !state.types[1]);
    vz_clipboard_free(b.c);
    until(&a.types, 0);
    expect_error(&a, VZ_ERROR_INVALID_STATE);
    vz_clipboard_free(a.c);
}
END_TEST

struct fetched {
    atomic_uint calls;
    int code;
};

static void on_fetched(void *arg, const void *data, size_t len, const struct vz_error *err)
{
    struct fetched *f = arg;

    f->code = err ? err->code : 0;
    f->calls++;
}

START_TEST(who_waits_hears_when_the_owner_goes)
{
    struct fetched f = {0};
    struct party a, b;

    join(&a);
    join(&b);
    ck_assert_int_eq(vz_clipboard_offer(a.c, 0, VZ_CLIPBOARD_BIT(VZ_CLIPBOARD_TEXT), NULL), 0);
    ck_assert_int_eq(vz_clipboard_fetch(b.c, 0, VZ_CLIPBOARD_TEXT, on_fetched, &f), 0);
    until(&a.wanted, 1);
    ck_assert_uint_eq(f.calls, 0);
    ck_assert_int_eq(vz_clipboard_set(b.c, 0, VZ_CLIPBOARD_TEXT, "other", 5, NULL), 0);
    until(&f.calls, 1);
    ck_assert_int_eq(f.code, VZ_ERROR_CANCELLED);
    ck_assert_int_eq(vz_clipboard_provide(a.c, a.request, "late", 4, NULL), 0); /* nobody waits */
    a.leaves = true;
    ck_assert_int_eq(vz_clipboard_offer(a.c, 0, VZ_CLIPBOARD_BIT(VZ_CLIPBOARD_TEXT), NULL), 0);
    expect_error(&b, VZ_ERROR_CANCELLED); /* a has freed itself in its callback */
    ck_assert_int_eq(vz_clipboard_set(b.c, 1, VZ_CLIPBOARD_TEXT, "", 0, NULL), 0);
    vz_clipboard_free(b.c);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    static char large[VZ_CLIPBOARD_MAX + 1];
    struct vz_machine *private = new_machine(false, false);
    struct vz_error err;
    struct party a;

    ck_assert_ptr_null(vz_clipboard_new(private, NULL, &err));
    ck_assert_int_eq(err.code, VZ_ERROR_UNSUPPORTED);
    vz_machine_free(private);
    ck_assert_ptr_null(vz_clipboard_new(NULL, NULL, &err));
    vz_clipboard_free(NULL);
    join(&a);
    ck_assert_int_eq(vz_clipboard_set(a.c, 0, VZ_CLIPBOARD_TEXT, large, sizeof(large), &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    ck_assert_int_eq(vz_clipboard_set(a.c, 2, VZ_CLIPBOARD_TEXT, "", 0, NULL), -1);
    ck_assert_int_eq(vz_clipboard_set(a.c, 0, 0, "", 0, NULL), -1);
    ck_assert_int_eq(vz_clipboard_set(a.c, 0, 6, "", 0, NULL), -1);
    ck_assert_int_eq(vz_clipboard_offer(a.c, 0, 1, NULL), -1);
    ck_assert_int_eq(vz_clipboard_offer(a.c, 0, 0, NULL), 0);
    ck_assert_int_eq(vz_clipboard_fetch(a.c, 0, VZ_CLIPBOARD_TEXT, NULL, NULL), -1);
    ck_assert_int_eq(vz_clipboard_set(NULL, 0, VZ_CLIPBOARD_TEXT, "", 0, NULL), -1);
    ck_assert_int_eq(vz_clipboard_get_state(a.c, NULL, NULL), -1);
    vz_clipboard_free(a.c);
}
END_TEST

struct echo {
    struct vz_clipboard *other;
    unsigned offered, lost;
};

/* Whatever is copied, something else is. */
static void copy_again(void *arg, struct vz_clipboard *c, enum vz_selection s, unsigned types)
{
    struct echo *e = arg;

    e->offered++;
    vz_clipboard_set(e->other, s, VZ_CLIPBOARD_TEXT, "again", 5, NULL);
}

static void count_lost(void *arg, struct vz_clipboard *c, enum vz_selection s)
{
    ((struct echo *)arg)->lost++;
}

/* As a guest could copy: the program's loop turns all the same. And who copied again before it heard has lost nothing. */
START_TEST(no_party_keeps_the_thread)
{
    struct vz_machine *m = new_machine(true, true);
    struct vz_clipboard_options o = VZ_CLIPBOARD_OPTIONS_INIT;
    struct vz_clipboard *c, *d;
    struct echo e = {0}, f = {0};

    e.other = vz_clipboard_new(m, NULL, NULL);
    o.offered = copy_again;
    o.arg = &e;
    c = vz_clipboard_new(m, &o, NULL);
    ck_assert(e.other && c);
    ck_assert_int_eq(vz_clipboard_set(e.other, 0, VZ_CLIPBOARD_TEXT, "first", 5, NULL), 0);
    ck_assert_uint_gt(vz_machine_dispatch(m), 0);
    ck_assert_uint_gt(e.offered, 1);
    vz_clipboard_free(c);
    o = (struct vz_clipboard_options)VZ_CLIPBOARD_OPTIONS_INIT;
    o.lost = count_lost;
    o.arg = &f;
    d = vz_clipboard_new(m, &o, NULL);
    ck_assert_int_eq(vz_clipboard_set(d, 0, VZ_CLIPBOARD_TEXT, "mine", 4, NULL), 0);
    ck_assert_int_eq(vz_clipboard_set(e.other, 0, VZ_CLIPBOARD_TEXT, "other", 5, NULL), 0);
    ck_assert_int_eq(vz_clipboard_set(d, 0, VZ_CLIPBOARD_TEXT, "mine", 4, NULL), 0);
    vz_machine_dispatch(m);
    ck_assert_uint_eq(f.lost, 0);
    vz_clipboard_free(d);
    vz_clipboard_free(e.other);
    vz_machine_free(m);
}
END_TEST

/* Parties come, copy, paste and go, all at once. */
static void *bustle(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;

    for (unsigned i = 0; i < 150; i++) {
        enum vz_selection s = (enum vz_selection)(rand_r(&seed) % 2);
        struct party p;
        void *got;

        join(&p);
        p.answers = true;
        if (rand_r(&seed) % 2)
            vz_clipboard_set(p.c, s, VZ_CLIPBOARD_TEXT, "text", 4, NULL);
        else
            vz_clipboard_offer(p.c, s, VZ_CLIPBOARD_BIT(VZ_CLIPBOARD_TEXT), NULL);
        got = vz_clipboard_fetch_wait(p.c, s, VZ_CLIPBOARD_TEXT, NULL, NULL);
        ck_assert(!got || !strcmp(got, "text") || !strcmp(got, "asked for"));
        free(got);
        vz_clipboard_free(p.c);
        memset(&p, 0xff, sizeof(p)); /* no callback comes any more */
    }
    return NULL;
}

START_TEST(parties_come_and_go)
{
    pthread_t thread[4];

    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, bustle, (void *)(uintptr_t)(i + 1)), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST_BETWEEN(s, the_last_who_copies_is_asked, setup, teardown);
    UNIT_TEST_BETWEEN(s, who_waits_hears_when_the_owner_goes, setup, teardown);
    UNIT_TEST_BETWEEN(s, what_cannot_be_is_refused, setup, teardown);
    UNIT_TEST_BETWEEN(s, no_party_keeps_the_thread, setup, teardown);
    UNIT_TEST_BETWEEN(s, parties_come_and_go, setup, teardown);
}

UNIT_TEST_MAIN("the clipboard's parties", add_tests)
