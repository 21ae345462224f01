/* SPDX-License-Identifier: MIT */
/* A scripted agent talks to the host's side: every size around the limits of chunks, agents that lie, agents that come and
 * go, and a machine that is saved in the middle of a word. */
#include "spice/spice_agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "spice/line_ends.h"
#include "spice/vd_agent_spec.h"
#include "state/state.h"
#include "unit.h"

#define LINUX_CAPS                                                                                                     \
    (BIT(VD_AGENT_CAP_CLIPBOARD_BY_DEMAND) | BIT(VD_AGENT_CAP_CLIPBOARD_SELECTION) | BIT(VD_AGENT_CAP_MONITORS_CONFIG) \
     | BIT(VD_AGENT_CAP_MAX_CLIPBOARD))
#define MESSAGES 64

struct message {
    uint32_t type, len;
    uint8_t *body;
};

/* What the host heard, and what the guest got. */
static struct {
    struct spice_agent *a;
    bool there;
    unsigned presences;
    unsigned types[SPICE_SELECTIONS], offers;
    uint64_t request;
    enum spice_selection selection;
    enum spice_type type;
    unsigned wanted;
    uint8_t *content;
    size_t content_len;
    enum spice_failure why;
    unsigned contents;
    uint32_t file;
    enum spice_file_news news;
    unsigned file_news;
    /* What has come at the guest's end. */
    uint8_t *raw;
    size_t raw_len, raw_room;
    struct message message[MESSAGES];
    unsigned messages;
} w;

static void output(void *arg)
{
}

static void presence(void *arg, bool there)
{
    w.there = there;
    w.presences++;
}

static void offered(void *arg, enum spice_selection s, unsigned types)
{
    w.types[s] = types;
    w.offers++;
}

static void wanted(void *arg, uint64_t request, enum spice_selection s, enum spice_type type)
{
    w.request = request;
    w.selection = s;
    w.type = type;
    w.wanted++;
}

static void content(void *arg, uint8_t *data, size_t len, enum spice_failure why)
{
    free(w.content);
    w.content = data;
    w.content_len = len;
    w.why = why;
    w.contents++;
}

static void file(void *arg, uint32_t id, enum spice_file_news news)
{
    w.file = id;
    w.news = news;
    w.file_news++;
}

static const struct spice_agent_ops ops = {output, presence, offered, wanted, content, file};

static void setup(void)
{
    memset(&w, 0, sizeof(w));
    w.a = spice_agent_create(true, &ops, NULL);
    ck_assert_ptr_nonnull(w.a);
}

static void drop_messages(void)
{
    for (unsigned i = 0; i < w.messages; i++)
        free(w.message[i].body);
    w.messages = 0;
}

static void teardown(void)
{
    drop_messages();
    free(w.content);
    free(w.raw);
    spice_agent_destroy(w.a);
}

/* ---- The guest's end ------------------------------------------------------------------------- */

/* A message in chunks of at most piece bytes, put in steps of step. */
static void say_in(uint32_t port, uint32_t type, const void *body, size_t len, size_t piece, size_t step)
{
    struct vd_agent_message m = {.protocol = VD_AGENT_PROTOCOL, .type = type, .size = (uint32_t)len};
    size_t total = sizeof(m) + len, n = 0;
    uint8_t *whole = malloc(total), *wire = malloc(total + (total / piece + 2) * 8);

    memcpy(whole, &m, sizeof(m));
    memcpy(whole + sizeof(m), body ? body : "", len);
    for (size_t at = 0; at < total; at += piece) {
        size_t part = MIN(piece, total - at);

        store_le32(wire + n, port);
        store_le32(wire + n + 4, (uint32_t)part);
        memcpy(wire + n + 8, whole + at, part);
        n += 8 + part;
    }
    for (size_t at = 0; at < n; at += step)
        spice_agent_put(w.a, wire + at, MIN(step, n - at));
    free(whole);
    free(wire);
}

static void say(uint32_t type, const void *body, size_t len)
{
    say_in(VDP_CLIENT_PORT, type, body, len, 2048, 4096);
}

static void say_caps(uint32_t request, uint32_t caps)
{
    const uint32_t body[2] = {request, caps};

    say(VD_AGENT_ANNOUNCE_CAPABILITIES, body, sizeof(body));
}

static void say_words(uint32_t type, uint32_t selection, uint32_t word)
{
    const uint32_t body[2] = {selection, word};

    say(type, body, sizeof(body));
}

static void say_content(uint32_t selection, uint32_t type, const uint8_t *data, size_t len, size_t piece, size_t step)
{
    uint8_t *body = malloc(8 + len);

    store_le32(body, selection);
    store_le32(body + 4, type);
    memcpy(body + 8, data, len);
    say_in(VDP_CLIENT_PORT, VD_AGENT_CLIPBOARD, body, 8 + len, piece, step);
    free(body);
}

/* Take all that there is in steps, or some of it. */
static void take(size_t step, size_t most)
{
    size_t n = 1;

    while (n && most) {
        if (w.raw_len + step > w.raw_room)
            w.raw = realloc(w.raw, w.raw_room = 2 * w.raw_room + step);
        n = spice_agent_take(w.a, w.raw + w.raw_len, MIN(step, most));
        w.raw_len += n;
        most -= n;
    }
}

/* Cut what has come into messages: no chunk is too large, nor has it parts of two. */
static void cut(void)
{
    size_t at = 0;

    drop_messages();
    while (at < w.raw_len) {
        struct message *m = &w.message[w.messages++];
        size_t have = 0, total = 20;
        uint8_t *whole = NULL;

        ck_assert_uint_le(w.messages, MESSAGES);
        while (have < total) {
            uint32_t size;

            ck_assert_uint_le(at + 8, w.raw_len);
            ck_assert_uint_eq(load_le32(w.raw + at), VDP_CLIENT_PORT);
            size = load_le32(w.raw + at + 4);
            ck_assert(size > 0 && size <= VD_AGENT_MAX_DATA_SIZE && at + 8 + size <= w.raw_len);
            whole = realloc(whole, have + size);
            memcpy(whole + have, w.raw + at + 8, size);
            if (!have) {
                ck_assert_uint_ge(size, 20);
                total = 20 + (size_t)load_le32(whole + 16);
            }
            have += size;
            at += 8 + size;
            ck_assert_uint_le(have, total);
        }
        ck_assert_uint_eq(load_le32(whole), VD_AGENT_PROTOCOL);
        m->type = load_le32(whole + 4);
        m->len = (uint32_t)(total - 20);
        m->body = malloc(total);
        memcpy(m->body, whole + 20, m->len);
        free(whole);
    }
    w.raw_len = 0;
}

static void listen_to(void)
{
    take(777, SIZE_MAX);
    cut();
}

static const struct message *heard(uint32_t type)
{
    for (unsigned i = 0; i < w.messages; i++) {
        if (w.message[i].type == type)
            return &w.message[i];
    }
    return NULL;
}

static void meet(uint32_t caps)
{
    spice_agent_open(w.a, true);
    say_caps(1, caps);
    listen_to();
}

static uint8_t *pattern(size_t len)
{
    uint8_t *p = malloc(len + 1);

    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(i * 7 + i / 251);
    return p;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

START_TEST(both_sides_say_what_they_can)
{
    const struct message *m;

    spice_agent_open(w.a, true);
    listen_to();
    m = heard(VD_AGENT_ANNOUNCE_CAPABILITIES);
    ck_assert_ptr_nonnull(m);
    ck_assert_uint_eq(load_le32(m->body), 1); /* who are you? */
    ck_assert(load_le32(m->body + 4) & BIT(VD_AGENT_CAP_CLIPBOARD_BY_DEMAND));
    ck_assert(load_le32(m->body + 4) & BIT(VD_AGENT_CAP_FILE_XFER_DETAILED_ERRORS));
    ck_assert(!w.there);
    say_caps(1, LINUX_CAPS);
    ck_assert(w.there && spice_agent_is_there(w.a));
    listen_to();
    m = heard(VD_AGENT_ANNOUNCE_CAPABILITIES);
    ck_assert(m && load_le32(m->body) == 0);
    m = heard(VD_AGENT_MAX_CLIPBOARD);
    ck_assert(m && load_le32(m->body) == SPICE_CONTENT_MAX);
    spice_agent_open(w.a, false);
    ck_assert(!w.there);
}
END_TEST

START_TEST(a_clipboard_that_is_not_shared_is_not_mentioned)
{
    const struct spice_monitor monitor = {.width = 800, .height = 600};
    const struct message *m;

    spice_agent_destroy(w.a);
    w.a = spice_agent_create(false, &ops, NULL);
    spice_agent_offer(w.a, SPICE_CLIPBOARD, BIT(SPICE_TEXT));
    spice_agent_monitors(w.a, &monitor, 1);
    meet(LINUX_CAPS);
    m = heard(VD_AGENT_ANNOUNCE_CAPABILITIES);
    ck_assert(m && !(load_le32(m->body + 4) & BIT(VD_AGENT_CAP_CLIPBOARD_BY_DEMAND)));
    ck_assert(!heard(VD_AGENT_CLIPBOARD_GRAB) && !heard(VD_AGENT_MAX_CLIPBOARD));
    ck_assert_ptr_nonnull(heard(VD_AGENT_MONITORS_CONFIG));
    say_words(VD_AGENT_CLIPBOARD_GRAB, 0, SPICE_TEXT);
    say_words(VD_AGENT_CLIPBOARD_REQUEST, 0, SPICE_TEXT);
    ck_assert(!w.offers && !w.wanted && !spice_agent_is_there(w.a));
}
END_TEST

/* Sizes of content at which something ends or begins: a chunk, its head, the message. */
static const size_t sizes[] = {0, 1, 2, 3, 4, 2011, 2012, 2019, 2020, 2021, 2027, 2028, 2047, 2048, 2049, 4067, 4068, 4069,
                               4095, 4096, 4097, 65535, 65536, 65537, 1000003};

START_TEST(the_guest_pastes_any_size)
{
    meet(LINUX_CAPS);
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint8_t *data = pattern(sizes[i]), *copy = pattern(sizes[i]);
        const struct message *m;

        spice_agent_offer(w.a, SPICE_PRIMARY, BIT(SPICE_PNG) | BIT(SPICE_TEXT));
        listen_to();
        m = heard(VD_AGENT_CLIPBOARD_GRAB);
        ck_assert(m && m->len == 12 && m->body[0] == SPICE_PRIMARY);
        ck_assert(load_le32(m->body + 4) == SPICE_TEXT && load_le32(m->body + 8) == SPICE_PNG);
        ck_assert_uint_eq(w.messages, 1); /* and no content */
        say_words(VD_AGENT_CLIPBOARD_REQUEST, SPICE_PRIMARY, SPICE_PNG);
        ck_assert_uint_eq(w.wanted, i + 1);
        ck_assert(w.selection == SPICE_PRIMARY && w.type == SPICE_PNG);
        spice_agent_give(w.a, w.request, data, sizes[i]);
        take(1 + i * 131 % 5000, SIZE_MAX);
        cut();
        m = heard(VD_AGENT_CLIPBOARD);
        ck_assert(m && m->len == 8 + sizes[i] && m->body[0] == SPICE_PRIMARY && load_le32(m->body + 4) == SPICE_PNG);
        ck_assert(!memcmp(m->body + 8, copy, sizes[i]));
        free(copy);
    }
}
END_TEST

START_TEST(the_host_pastes_any_size_in_any_pieces)
{
    static const size_t pieces[] = {1, 19, 20, 21, 27, 28, 29, 2047, 2048, 70000};
    static const size_t steps[] = {1, 7, 8, 9, 4096};

    meet(LINUX_CAPS);
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        for (unsigned k = 0; k < ARRAY_SIZE(pieces) && sizes[i] < 5000; k++) {
            uint8_t *data = pattern(sizes[i]);
            unsigned before = w.contents;
            const struct message *m;

            say_words(VD_AGENT_CLIPBOARD_GRAB, 0, SPICE_BMP);
            ck_assert_uint_eq(w.types[0], BIT(SPICE_BMP));
            ck_assert_int_eq(spice_agent_ask(w.a, SPICE_CLIPBOARD, SPICE_TEXT), -ENOENT);
            ck_assert_int_eq(spice_agent_ask(w.a, SPICE_CLIPBOARD, SPICE_BMP), 0);
            ck_assert_int_eq(spice_agent_ask(w.a, SPICE_CLIPBOARD, SPICE_BMP), -EBUSY);
            listen_to();
            m = heard(VD_AGENT_CLIPBOARD_REQUEST);
            ck_assert(m && m->len == 8 && load_le32(m->body + 4) == SPICE_BMP);
            say_content(0, SPICE_BMP, data, sizes[i], pieces[k], steps[(i + k) % ARRAY_SIZE(steps)]);
            ck_assert_uint_eq(w.contents, before + 1);
            ck_assert(w.why == SPICE_NO_FAILURE && w.content_len == sizes[i] && !memcmp(w.content, data, sizes[i]));
            free(data);
        }
    }
}
END_TEST

START_TEST(what_is_too_large_is_refused_and_the_talk_goes_on)
{
    static uint8_t zeros[1 << 20];
    const uint32_t head[] = {0, SPICE_TEXT};
    struct vd_agent_message m = {.protocol = VD_AGENT_PROTOCOL, .type = VD_AGENT_CLIPBOARD, .size = 8 + (64u << 20)};
    struct vdi_chunk_header c = {VDP_CLIENT_PORT, sizeof(m) + 8 + (64u << 20)};

    meet(LINUX_CAPS);
    say_words(VD_AGENT_CLIPBOARD_GRAB, 0, SPICE_TEXT);
    ck_assert_int_eq(spice_agent_ask(w.a, SPICE_CLIPBOARD, SPICE_TEXT), 0);
    listen_to();
    spice_agent_put(w.a, (const uint8_t *)&c, sizeof(c));
    spice_agent_put(w.a, (const uint8_t *)&m, sizeof(m));
    spice_agent_put(w.a, (const uint8_t *)head, sizeof(head));
    ck_assert(w.contents == 1 && w.why == SPICE_TOO_LARGE && !w.content); /* at once */
    for (unsigned i = 0; i < 64; i++) {
        spice_agent_put(w.a, zeros, sizeof(zeros));
        ck_assert_uint_eq(spice_agent_progress(w.a), 0);
    }
    ck_assert_int_eq(spice_agent_ask(w.a, SPICE_CLIPBOARD, SPICE_TEXT), 0);
    listen_to();
    say_content(0, SPICE_TEXT, (const uint8_t *)"short", 5, 2048, 4096);
    ck_assert(w.contents == 2 && w.content_len == 5 && !memcmp(w.content, "short", 5));
    /* Ours, too. */
    spice_agent_offer(w.a, SPICE_CLIPBOARD, BIT(SPICE_TEXT));
    say_words(VD_AGENT_CLIPBOARD_REQUEST, 0, SPICE_TEXT);
    spice_agent_give(w.a, w.request, calloc(1, SPICE_CONTENT_MAX + 1), SPICE_CONTENT_MAX + 1);
    listen_to();
    ck_assert(heard(VD_AGENT_CLIPBOARD) && load_le32(heard(VD_AGENT_CLIPBOARD)->body + 4) == VD_AGENT_CLIPBOARD_NONE);
}
END_TEST

START_TEST(content_nobody_asked_for_is_not_kept)
{
    uint8_t *data = pattern(100000);

    meet(LINUX_CAPS);
    say_content(0, SPICE_TEXT, data, 100000, 2048, 4096);
    say_words(VD_AGENT_CLIPBOARD_GRAB, 0, SPICE_TEXT);
    ck_assert_int_eq(spice_agent_ask(w.a, SPICE_CLIPBOARD, SPICE_TEXT), 0);
    say_content(0, SPICE_TEXT, data, 100000, 2048, 4096); /* it has not been asked yet */
    listen_to();
    say_content(1, SPICE_TEXT, data, 100000, 2048, 4096);
    say_content(0, SPICE_PNG, data, 100000, 2048, 4096);
    say_content(7, SPICE_TEXT, data, 10, 2048, 4096);
    ck_assert_uint_eq(spice_agent_progress(w.a), 0);
    ck_assert_uint_eq(w.contents, 0);
    say_content(0, VD_AGENT_CLIPBOARD_NONE, data, 0, 2048, 4096);
    ck_assert(w.contents == 1 && w.why == SPICE_NO_CONTENT);
    free(data);
}
END_TEST

START_TEST(an_agent_that_lies_is_passed_over)
{
    static const uint32_t types[] = {0, 1, 3, 4, 6, 7, 8, 9, 17, 0xffffffff};
    uint8_t junk[4096];

    meet(LINUX_CAPS);
    memset(junk, 0xff, sizeof(junk));
    for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
        for (size_t len = 0; len < 14; len++)
            say(types[i], junk, len);
        say(types[i], junk, sizeof(junk));
    }
    say_in(0, VD_AGENT_CLIPBOARD_GRAB, junk, 8, 2048, 4096); /* ports that there are not */
    say_in(3, VD_AGENT_CLIPBOARD_GRAB, junk, 8, 2048, 4096);
    say_in(0xffffffff, VD_AGENT_CLIPBOARD_GRAB, junk, 8, 2048, 4096);
    ck_assert(!w.wanted && !w.contents);
    listen_to();
    say_caps(1, LINUX_CAPS);
    say_words(VD_AGENT_CLIPBOARD_GRAB, 1, SPICE_JPEG);
    ck_assert_uint_eq(w.types[1], BIT(SPICE_JPEG));
}
END_TEST

START_TEST(two_streams_do_not_mix)
{
    const uint32_t grab[] = {0, SPICE_TEXT};
    struct vd_agent_message m = {.protocol = VD_AGENT_PROTOCOL, .type = VD_AGENT_CLIPBOARD_GRAB, .size = sizeof(grab)};
    struct vdi_chunk_header c = {VDP_CLIENT_PORT, sizeof(m)};

    meet(LINUX_CAPS);
    spice_agent_put(w.a, (const uint8_t *)&c, sizeof(c));
    spice_agent_put(w.a, (const uint8_t *)&m, sizeof(m));
    say_in(VDP_SERVER_PORT, VD_AGENT_CLIPBOARD_GRAB, (const uint32_t[]){1, SPICE_PNG}, 8, 5, 3);
    ck_assert(w.types[1] == BIT(SPICE_PNG) && w.types[0] == 0);
    c.size = sizeof(grab);
    spice_agent_put(w.a, (const uint8_t *)&c, sizeof(c));
    spice_agent_put(w.a, (const uint8_t *)grab, sizeof(grab));
    ck_assert_uint_eq(w.types[0], BIT(SPICE_TEXT));
}
END_TEST

/* What a message is about has half come when the other stream changes how long that is. */
START_TEST(abilities_that_change_in_the_middle_harm_nobody)
{
    uint8_t body[64] = {0};
    struct vd_agent_message m = {.protocol = VD_AGENT_PROTOCOL, .type = VD_AGENT_CLIPBOARD, .size = 60000};
    struct vdi_chunk_header c = {VDP_CLIENT_PORT, sizeof(m) + 7};
    const uint32_t caps[] = {0, BIT(VD_AGENT_CAP_CLIPBOARD_BY_DEMAND)};

    meet(LINUX_CAPS);
    spice_agent_put(w.a, (const uint8_t *)&c, sizeof(c));
    spice_agent_put(w.a, (const uint8_t *)&m, sizeof(m));
    spice_agent_put(w.a, body, 7);
    say_in(VDP_SERVER_PORT, VD_AGENT_ANNOUNCE_CAPABILITIES, caps, sizeof(caps), 2048, 4096);
    c.size = 60000 - 7;
    spice_agent_put(w.a, (const uint8_t *)&c, sizeof(c));
    for (unsigned left = 60000 - 7; left; left -= MIN(left, (unsigned)sizeof(body)))
        spice_agent_put(w.a, body, MIN(left, (unsigned)sizeof(body)));
    say(VD_AGENT_CLIPBOARD_GRAB, (const uint32_t[]){SPICE_TEXT}, 4);
    ck_assert_uint_eq(w.types[0], BIT(SPICE_TEXT));
}
END_TEST

/* Its user hears of it, and what was on offer, or asked for, has an end. */
START_TEST(an_agent_begins_and_ends_to_share)
{
    meet(BIT(VD_AGENT_CAP_MONITORS_CONFIG));
    ck_assert(w.presences == 1 && !spice_agent_is_there(w.a));
    say_caps(0, LINUX_CAPS);
    ck_assert(w.presences == 2 && spice_agent_is_there(w.a));
    say_words(VD_AGENT_CLIPBOARD_GRAB, 0, SPICE_TEXT);
    ck_assert_int_eq(spice_agent_ask(w.a, SPICE_CLIPBOARD, SPICE_TEXT), 0);
    say_caps(0, BIT(VD_AGENT_CAP_MONITORS_CONFIG));
    ck_assert(w.presences == 3 && !spice_agent_is_there(w.a));
    ck_assert(!w.types[0] && w.contents == 1 && w.why == SPICE_GONE);
    say_caps(0, BIT(VD_AGENT_CAP_MONITORS_CONFIG));
    ck_assert_uint_eq(w.presences, 3);
}
END_TEST

START_TEST(a_guest_that_asks_and_does_not_read_costs_nothing)
{
    meet(LINUX_CAPS);
    spice_agent_offer(w.a, SPICE_CLIPBOARD, BIT(SPICE_TEXT));
    listen_to();
    for (unsigned i = 0; i < 10000; i++) {
        say_words(VD_AGENT_CLIPBOARD_REQUEST, 0, SPICE_TEXT);
        say_words(VD_AGENT_CLIPBOARD_REQUEST, 1, SPICE_TEXT);
    }
    ck_assert_uint_eq(w.wanted, 1); /* one at a time */
    for (unsigned i = 0; i < SPICE_REQUESTS_MAX; i++) {
        if (i % 2 == 0) {
            ck_assert_uint_eq(w.wanted, i / 2 + 1);
            spice_agent_give(w.a, w.request - 1, strdup("late"), 4); /* of another request */
            spice_agent_give(w.a, w.request, strdup("text"), 4);
        }
        listen_to();
        if (i % 2 == 0) {
            ck_assert_uint_eq(w.messages, 2); /* and that PRIMARY has none */
            ck_assert(w.message[0].len == 12 && !memcmp(w.message[0].body + 8, "text", 4));
            ck_assert_uint_eq(load_le32(w.message[1].body + 4), VD_AGENT_CLIPBOARD_NONE);
        } else {
            ck_assert_uint_eq(w.messages, 0);
        }
    }
    ck_assert_uint_eq(w.wanted, SPICE_REQUESTS_MAX / 2);
}
END_TEST

START_TEST(an_offer_takes_the_place_of_the_other_side_s)
{
    meet(LINUX_CAPS);
    spice_agent_offer(w.a, SPICE_CLIPBOARD, BIT(SPICE_TEXT));
    listen_to();
    say_words(VD_AGENT_CLIPBOARD_GRAB, 0, SPICE_PNG);
    listen_to();
    ck_assert(!heard(VD_AGENT_CLIPBOARD_RELEASE)); /* at which a manager would bring back the one before */
    ck_assert_uint_eq(spice_agent_types(w.a, SPICE_CLIPBOARD), BIT(SPICE_PNG));
    spice_agent_offer(w.a, SPICE_CLIPBOARD, BIT(SPICE_TEXT));
    ck_assert_uint_eq(spice_agent_types(w.a, SPICE_CLIPBOARD), 0);
    spice_agent_offer(w.a, SPICE_CLIPBOARD, BIT(SPICE_TEXT)); /* other text */
    listen_to();
    ck_assert(w.messages == 1 && heard(VD_AGENT_CLIPBOARD_GRAB));
    spice_agent_offer(w.a, SPICE_CLIPBOARD, 0);
    listen_to();
    ck_assert(w.messages == 1 && heard(VD_AGENT_CLIPBOARD_RELEASE));
    say_words(VD_AGENT_CLIPBOARD_GRAB, 1, SPICE_PNG);
    say_words(VD_AGENT_CLIPBOARD_RELEASE, 1, 0);
    ck_assert_uint_eq(w.types[1], 0);
}
END_TEST

START_TEST(an_agent_that_starts_again_hears_what_is_offered)
{
    spice_agent_offer(w.a, SPICE_CLIPBOARD, BIT(SPICE_TEXT));
    meet(LINUX_CAPS);
    ck_assert_ptr_nonnull(heard(VD_AGENT_CLIPBOARD_GRAB));
    say_words(VD_AGENT_CLIPBOARD_GRAB, 1, SPICE_TEXT);
    ck_assert_int_eq(spice_agent_ask(w.a, SPICE_PRIMARY, SPICE_TEXT), 0);
    spice_agent_open(w.a, false); /* in the middle of whatever */
    ck_assert(w.types[1] == 0 && w.contents == 1 && w.why == SPICE_GONE);
    spice_agent_put(w.a, (const uint8_t *)"what was on its way", 19);
    meet(LINUX_CAPS);
    ck_assert_ptr_nonnull(heard(VD_AGENT_CLIPBOARD_GRAB));
    say_caps(1, LINUX_CAPS); /* another one behind the same port */
    listen_to();
    ck_assert_ptr_nonnull(heard(VD_AGENT_CLIPBOARD_GRAB));
}
END_TEST

START_TEST(an_old_agent_has_one_selection)
{
    meet(BIT(VD_AGENT_CAP_CLIPBOARD_BY_DEMAND));
    spice_agent_offer(w.a, SPICE_PRIMARY, BIT(SPICE_TEXT));
    spice_agent_offer(w.a, SPICE_CLIPBOARD, BIT(SPICE_TEXT));
    listen_to();
    ck_assert(w.messages == 1 && w.message[0].len == 4);
    say(VD_AGENT_CLIPBOARD_REQUEST, (const uint32_t[]){SPICE_TEXT}, 4);
    spice_agent_give(w.a, w.request, strdup("old"), 3);
    listen_to();
    ck_assert(w.messages == 1 && w.message[0].len == 7 && !memcmp(w.message[0].body + 4, "old", 3));
}
END_TEST

START_TEST(lines_end_as_the_guest_wants_them)
{
    static const char ours[] = "one\ntwo\r\n\n\rthree", theirs[] = "one\r\ntwo\r\n\r\n\rthree";
    const struct message *m;

    meet(LINUX_CAPS | BIT(VD_AGENT_CAP_GUEST_LINEEND_CRLF));
    spice_agent_offer(w.a, SPICE_CLIPBOARD, BIT(SPICE_TEXT));
    say_words(VD_AGENT_CLIPBOARD_REQUEST, 0, SPICE_TEXT);
    spice_agent_give(w.a, w.request, strdup(ours), strlen(ours));
    listen_to();
    m = heard(VD_AGENT_CLIPBOARD);
    ck_assert(m && m->len == 8 + strlen(theirs) && !memcmp(m->body + 8, theirs, strlen(theirs)));
    say_words(VD_AGENT_CLIPBOARD_GRAB, 0, SPICE_TEXT);
    ck_assert_int_eq(spice_agent_ask(w.a, SPICE_CLIPBOARD, SPICE_TEXT), 0);
    listen_to();
    say_content(0, SPICE_TEXT, (const uint8_t *)theirs, strlen(theirs), 2048, 4096);
    ck_assert_uint_eq(w.content_len, strlen("one\ntwo\n\n\rthree"));
    ck_assert(!memcmp(w.content, "one\ntwo\n\n\rthree", w.content_len));
}
END_TEST

START_TEST(displays_have_sizes_and_places)
{
    const struct spice_monitor two[] = {{.width = 1920, .height = 1080}, {.width = 800, .height = 600, .x = 1920}};
    const struct message *m;
    struct vd_agent_mon_config c;

    spice_agent_monitors(w.a, two, 2);
    meet(LINUX_CAPS); /* an agent that comes later */
    m = heard(VD_AGENT_MONITORS_CONFIG);
    ck_assert(m && m->len == 48 && load_le32(m->body) == 2 && load_le32(m->body + 4) == 1);
    memcpy(&c, m->body + 28, sizeof(c));
    ck_assert(c.width == 800 && c.height == 600 && c.depth == 32 && c.x == 1920 && c.y == 0);
    for (unsigned i = 0; i < 100; i++)
        spice_agent_monitors(w.a, two, 1);
    listen_to();
    ck_assert_uint_eq(w.messages, 1); /* the last one counts */
    ck_assert_uint_eq(heard(VD_AGENT_MONITORS_CONFIG)->len, 28);
}
END_TEST

/* ---- Saved ----------------------------------------------------------------------------------- */

static void save_and_load(void)
{
    struct state_writer s = {0};
    struct spice_agent *other = spice_agent_create(true, &ops, NULL);

    ck_assert_int_eq(state_save(&s, &spice_agent_state, 0, w.a), 0);
    spice_agent_destroy(w.a);
    w.a = other;
    w.types[0] = w.types[1] = 0;
    w.there = false;
    ck_assert_int_eq(state_load(s.data, s.len, &spice_agent_state, 0, w.a, NULL), 0);
    state_writer_fini(&s);
}

START_TEST(a_paste_goes_on_after_a_restore)
{
    for (size_t at = 0; at < 10100; at += 37) {
        uint8_t *data = pattern(10000), *copy = pattern(10000);
        const struct message *m;

        spice_agent_open(w.a, false);
        meet(LINUX_CAPS);
        spice_agent_offer(w.a, SPICE_CLIPBOARD, BIT(SPICE_PNG));
        listen_to();
        say_words(VD_AGENT_CLIPBOARD_REQUEST, 0, SPICE_PNG);
        say_words(VD_AGENT_CLIPBOARD_REQUEST, 0, SPICE_PNG); /* that of another program */
        spice_agent_give(w.a, w.request, data, 10000);
        take(100, at);
        save_and_load();
        ck_assert(w.there);
        take(100, SIZE_MAX);
        cut();
        m = heard(VD_AGENT_CLIPBOARD);
        ck_assert_ptr_nonnull(m);
        /* It is whole when some of it was on its way; else it is one that nobody has any more. */
        if (at) {
            ck_assert(m->len == 10008 && !memcmp(m->body + 8, copy, 10000));
            m++;
        }
        for (; m < w.message + w.messages && m->type == VD_AGENT_CLIPBOARD; m++)
            ck_assert_uint_eq(load_le32(m->body + 4), VD_AGENT_CLIPBOARD_NONE);
        ck_assert_ptr_nonnull(heard(VD_AGENT_CLIPBOARD_RELEASE)); /* its owner is gone */
        free(copy);
    }
}
END_TEST

START_TEST(what_comes_goes_on_after_a_restore)
{
    struct vd_agent_message first = {.protocol = 1, .type = VD_AGENT_CLIPBOARD, .size = 1008};
    struct vd_agent_message grab = {.protocol = 1, .type = VD_AGENT_CLIPBOARD_GRAB, .size = 8};
    uint8_t wire[4096];
    size_t n;

    /* An answer, then a grab, all in one. */
    memset(wire, 0, sizeof(wire));
    store_le32(wire, VDP_CLIENT_PORT);
    store_le32(wire + 4, sizeof(first) + 1008);
    memcpy(wire + 8, &first, sizeof(first));
    store_le32(wire + 8 + sizeof(first) + 4, SPICE_TEXT);
    n = 8 + sizeof(first) + 1008;
    store_le32(wire + n, VDP_CLIENT_PORT);
    store_le32(wire + n + 4, sizeof(grab) + 8);
    memcpy(wire + n + 8, &grab, sizeof(grab));
    store_le32(wire + n + 8 + sizeof(grab), SPICE_PRIMARY);
    store_le32(wire + n + 8 + sizeof(grab) + 4, SPICE_JPEG);
    n += 8 + sizeof(grab) + 8;
    for (size_t at = 0; at < n; at++) {
        spice_agent_open(w.a, false);
        meet(LINUX_CAPS);
        say_words(VD_AGENT_CLIPBOARD_GRAB, 0, SPICE_TEXT);
        ck_assert_int_eq(spice_agent_ask(w.a, SPICE_CLIPBOARD, SPICE_TEXT), 0);
        listen_to();
        spice_agent_put(w.a, wire, at);
        save_and_load();
        ck_assert_uint_eq(w.types[0], BIT(SPICE_TEXT)); /* what it offered it still does */
        spice_agent_put(w.a, wire + at, n - at);
        ck_assert_uint_eq(w.types[1], BIT(SPICE_JPEG));
    }
}
END_TEST

/* ---- Files ----------------------------------------------------------------------------------- */

static void expect_news(uint32_t id, enum spice_file_news news)
{
    ck_assert_uint_eq(w.file_news, 1);
    ck_assert_uint_eq(w.file, id);
    ck_assert_int_eq(w.news, news);
    w.file_news = 0;
}

/* The guest is offered a file. */
static void offer_file(uint32_t id, const char *name, uint64_t size, const char *text)
{
    const struct message *m;

    ck_assert_int_eq(spice_agent_send_file(w.a, id, name, size), 0);
    listen_to();
    m = heard(VD_AGENT_FILE_XFER_START);
    ck_assert_ptr_nonnull(m);
    ck_assert_uint_eq(load_le32(m->body), id);
    ck_assert_uint_eq(m->len, 4 + strlen(text) + 1);
    ck_assert_str_eq((char *)m->body + 4, text);
}

static void give_piece(uint32_t id, size_t len)
{
    const struct message *m;
    uint8_t *p = pattern(len), *copy = pattern(len);

    spice_agent_file_data(w.a, id, p, len);
    listen_to();
    m = heard(VD_AGENT_FILE_XFER_DATA);
    ck_assert_ptr_nonnull(m);
    ck_assert_uint_eq(load_le32(m->body), id);
    ck_assert_uint_eq(load_le64(m->body + 4), len);
    ck_assert_uint_eq(m->len, 12 + len);
    ck_assert(!memcmp(m->body + 12, copy, len));
    free(copy);
}

START_TEST(files_go_piece_by_piece)
{
    ck_assert_int_eq(spice_agent_send_file(w.a, 1, "early", 1), -ENODEV);
    meet(LINUX_CAPS);
    offer_file(7, " a\\b\tc\n", 70000, "[vdagent-file-xfer]\nname=\\sa\\\\b\\tc\\n\nsize=70000\n");
    spice_agent_file_data(w.a, 7, malloc(10), 10); /* which nobody has asked for */
    listen_to();
    ck_assert_ptr_null(heard(VD_AGENT_FILE_XFER_DATA));
    say_words(VD_AGENT_FILE_XFER_STATUS, 7, VD_AGENT_FILE_XFER_STATUS_CAN_SEND_DATA);
    expect_news(7, SPICE_FILE_GOES_ON);
    say_words(VD_AGENT_FILE_XFER_STATUS, 7, VD_AGENT_FILE_XFER_STATUS_CAN_SEND_DATA); /* once is enough */
    ck_assert_uint_eq(w.file_news, 0);
    give_piece(7, 65536);
    expect_news(7, SPICE_FILE_GOES_ON);
    spice_agent_file_data(w.a, 7, malloc(4465), 4465); /* more than there is */
    give_piece(7, 4464);
    ck_assert_uint_eq(w.file_news, 0);
    say_words(VD_AGENT_FILE_XFER_STATUS, 7, VD_AGENT_FILE_XFER_STATUS_SUCCESS);
    expect_news(7, SPICE_FILE_ARRIVED);
    offer_file(8, "leer", 0, "[vdagent-file-xfer]\nname=leer\nsize=0\n");
    say_words(VD_AGENT_FILE_XFER_STATUS, 8, VD_AGENT_FILE_XFER_STATUS_CAN_SEND_DATA);
    expect_news(8, SPICE_FILE_GOES_ON);
    give_piece(8, 0);
    say_words(VD_AGENT_FILE_XFER_STATUS, 8, VD_AGENT_FILE_XFER_STATUS_SUCCESS);
    expect_news(8, SPICE_FILE_ARRIVED);
}
END_TEST

START_TEST(files_end_in_many_ways)
{
    static const struct {
        uint32_t result;
        enum spice_file_news news;
    } ends[] = {{VD_AGENT_FILE_XFER_STATUS_CANCELLED, SPICE_FILE_CANCELLED},
                {VD_AGENT_FILE_XFER_STATUS_ERROR, SPICE_FILE_FAILED},
                {VD_AGENT_FILE_XFER_STATUS_SUCCESS, SPICE_FILE_FAILED}, /* of what it has not got */
                {VD_AGENT_FILE_XFER_STATUS_NOT_ENOUGH_SPACE, SPICE_FILE_NO_SPACE},
                {VD_AGENT_FILE_XFER_STATUS_SESSION_LOCKED, SPICE_FILE_LOCKED},
                {VD_AGENT_FILE_XFER_STATUS_VDAGENT_NOT_CONNECTED, SPICE_FILE_NO_SESSION},
                {VD_AGENT_FILE_XFER_STATUS_DISABLED, SPICE_FILE_DISABLED}, {77, SPICE_FILE_FAILED}};

    meet(LINUX_CAPS);
    for (uint32_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        offer_file(i, "f", 10, "[vdagent-file-xfer]\nname=f\nsize=10\n");
        say_words(VD_AGENT_FILE_XFER_STATUS, i + 1, ends[i].result); /* of another one */
        ck_assert_uint_eq(w.file_news, 0);
        say_words(VD_AGENT_FILE_XFER_STATUS, i, ends[i].result);
        expect_news(i, ends[i].news);
        say_words(VD_AGENT_FILE_XFER_STATUS, i, ends[i].result);
        ck_assert_uint_eq(w.file_news, 0);
    }
    offer_file(20, "f", 10, "[vdagent-file-xfer]\nname=f\nsize=10\n");
    say_words(VD_AGENT_FILE_XFER_STATUS, 20, VD_AGENT_FILE_XFER_STATUS_CAN_SEND_DATA);
    spice_agent_file_data(w.a, 20, malloc(5), 5);
    spice_agent_cancel_file(w.a, 20);
    w.file_news = 0;
    listen_to();
    ck_assert_ptr_nonnull(heard(VD_AGENT_FILE_XFER_STATUS));
    ck_assert_uint_eq(load_le32(heard(VD_AGENT_FILE_XFER_STATUS)->body + 4), VD_AGENT_FILE_XFER_STATUS_CANCELLED);
    ck_assert_ptr_null(heard(VD_AGENT_FILE_XFER_DATA));
    ck_assert_int_eq(spice_agent_send_file(w.a, 21, "f", 10), 0);
    spice_agent_cancel_file(w.a, 21); /* before the guest has heard of it */
    listen_to();
    ck_assert_uint_eq(w.messages, 0);
    for (uint32_t i = 0; i < SPICE_FILES_MAX; i++)
        ck_assert_int_eq(spice_agent_send_file(w.a, 30 + i, "f", 10), 0);
    ck_assert_int_eq(spice_agent_send_file(w.a, 50, "f", 10), -EBUSY);
    spice_agent_open(w.a, false);
    ck_assert_uint_eq(w.file_news, SPICE_FILES_MAX);
    ck_assert_int_eq(w.news, SPICE_FILE_GONE);
    meet(LINUX_CAPS | BIT(VD_AGENT_CAP_FILE_XFER_DISABLED));
    ck_assert_int_eq(spice_agent_send_file(w.a, 60, "f", 10), -ENODEV);
}
END_TEST

START_TEST(names_are_names)
{
    static const char *const bad[] = {"", ".", "..", "/etc/passwd", "a/b", "../x", "\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80", "\xe0\x80\xaf"};
    char name[SPICE_FILE_NAME_MAX + 2];

    meet(LINUX_CAPS);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(spice_agent_send_file(w.a, i, bad[i], 1) == -EINVAL, "%s", bad[i]);
    memset(name, '\n', sizeof(name));
    name[SPICE_FILE_NAME_MAX + 1] = '\0';
    ck_assert_int_eq(spice_agent_send_file(w.a, 1, name, 1), -EINVAL);
    name[SPICE_FILE_NAME_MAX] = '\0'; /* all of which have to be written as two */
    ck_assert_int_eq(spice_agent_send_file(w.a, 1, name, UINT64_MAX), 0);
    ck_assert_int_eq(spice_agent_send_file(w.a, 2, "\xc3\xa4\xe6\xbc\xa2\xf0\x9f\x98\x80", 1), 0);
    ck_assert_int_eq(spice_agent_send_file(w.a, 3, "...", 1), 0);
    listen_to();
    ck_assert_uint_eq(w.messages, 3);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST_BETWEEN(s, both_sides_say_what_they_can, setup, teardown);
    UNIT_TEST_BETWEEN(s, files_go_piece_by_piece, setup, teardown);
    UNIT_TEST_BETWEEN(s, files_end_in_many_ways, setup, teardown);
    UNIT_TEST_BETWEEN(s, names_are_names, setup, teardown);
    UNIT_TEST_BETWEEN(s, a_clipboard_that_is_not_shared_is_not_mentioned, setup, teardown);
    UNIT_TEST_BETWEEN(s, the_guest_pastes_any_size, setup, teardown);
    UNIT_TEST_BETWEEN(s, the_host_pastes_any_size_in_any_pieces, setup, teardown);
    UNIT_TEST_BETWEEN(s, what_is_too_large_is_refused_and_the_talk_goes_on, setup, teardown);
    UNIT_TEST_BETWEEN(s, content_nobody_asked_for_is_not_kept, setup, teardown);
    UNIT_TEST_BETWEEN(s, an_agent_that_lies_is_passed_over, setup, teardown);
    UNIT_TEST_BETWEEN(s, two_streams_do_not_mix, setup, teardown);
    UNIT_TEST_BETWEEN(s, abilities_that_change_in_the_middle_harm_nobody, setup, teardown);
    UNIT_TEST_BETWEEN(s, an_agent_begins_and_ends_to_share, setup, teardown);
    UNIT_TEST_BETWEEN(s, a_guest_that_asks_and_does_not_read_costs_nothing, setup, teardown);
    UNIT_TEST_BETWEEN(s, an_offer_takes_the_place_of_the_other_side_s, setup, teardown);
    UNIT_TEST_BETWEEN(s, an_agent_that_starts_again_hears_what_is_offered, setup, teardown);
    UNIT_TEST_BETWEEN(s, an_old_agent_has_one_selection, setup, teardown);
    UNIT_TEST_BETWEEN(s, lines_end_as_the_guest_wants_them, setup, teardown);
    UNIT_TEST_BETWEEN(s, displays_have_sizes_and_places, setup, teardown);
    UNIT_TEST_BETWEEN(s, a_paste_goes_on_after_a_restore, setup, teardown);
    UNIT_TEST_BETWEEN(s, what_comes_goes_on_after_a_restore, setup, teardown);
}

UNIT_TEST_MAIN("spice_agent", add_tests)
