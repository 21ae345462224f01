/* SPDX-License-Identifier: MIT */
/* What goes to the guest. There is one message at a time, made when the one before is through, of what is owed then: a
 * guest that asks and does not read makes us keep nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "spice/spice_impl.h"

uint8_t *spice_begin(struct spice_agent *a, unsigned type, size_t len)
{
    struct vd_agent_message m = {.protocol = VD_AGENT_PROTOCOL, .type = type, .size = (uint32_t)len};

    a->out = (struct state_blob){calloc(1, sizeof(m) + len), sizeof(m) + len};
    a->out_pos = 0;
    a->out_answers = false;
    if (!a->out.data)
        return NULL;
    memcpy(a->out.data, &m, sizeof(m));
    return a->out.data + sizeof(m);
}

/* The same of a clipboard message, behind its selection. */
static uint8_t *begin_clipboard(struct spice_agent *a, unsigned type, enum spice_selection s, size_t len)
{
    size_t skip = spice_selection_len(a);
    uint8_t *to = spice_begin(a, type, skip + len);

    if (to && skip)
        to[0] = (uint8_t)s;
    return to ? to + skip : NULL;
}

static void announce(struct spice_agent *a)
{
    uint32_t caps = BIT(VD_AGENT_CAP_MONITORS_CONFIG) | BIT(VD_AGENT_CAP_REPLY) |
                    BIT(VD_AGENT_CAP_MONITORS_CONFIG_POSITION);
    uint8_t *to = spice_begin(a, VD_AGENT_ANNOUNCE_CAPABILITIES, 8);

    a->owe_announce = false;
    if (a->shares)
        caps |= BIT(VD_AGENT_CAP_CLIPBOARD_BY_DEMAND) | BIT(VD_AGENT_CAP_CLIPBOARD_SELECTION) |
                BIT(VD_AGENT_CAP_MAX_CLIPBOARD) | BIT(VD_AGENT_CAP_CLIPBOARD_NO_RELEASE_ON_REGRAB) |
                BIT(VD_AGENT_CAP_FILE_XFER_DETAILED_ERRORS); /* else each is the same one */
    if (to) {
        store_le32(to, a->ask_answer);
        store_le32(to + 4, caps);
    }
}

static void max_clipboard(struct spice_agent *a)
{
    uint8_t *to = spice_begin(a, VD_AGENT_MAX_CLIPBOARD, 4);

    a->owe_max = false;
    if (to)
        store_le32(to, SPICE_CONTENT_MAX);
}

static void monitors(struct spice_agent *a)
{
    uint8_t *to = spice_begin(a, VD_AGENT_MONITORS_CONFIG, 8 + a->monitor_count * sizeof(struct vd_agent_mon_config));

    a->owe_monitors = false;
    if (!to)
        return;
    store_le32(to, a->monitor_count);
    store_le32(to + 4, VD_AGENT_CONFIG_MONITORS_FLAG_USE_POS);
    for (unsigned i = 0; i < a->monitor_count; i++) {
        const struct spice_monitor *m = &a->monitor[i];
        const struct vd_agent_mon_config c = {.height = m->height, .width = m->width, .depth = 32, .x = m->x, .y = m->y};

        memcpy(to + 8 + i * sizeof(c), &c, sizeof(c));
    }
}

static void release(struct spice_agent *a, enum spice_selection s)
{
    a->told[s] = 0;
    begin_clipboard(a, VD_AGENT_CLIPBOARD_RELEASE, s, 0);
}

static void grab(struct spice_agent *a, enum spice_selection s)
{
    uint8_t *to = begin_clipboard(a, VD_AGENT_CLIPBOARD_GRAB, s, 4 * (size_t)__builtin_popcount(a->offer[s]));

    a->owe_grab[s] = false;
    a->told[s] = a->offer[s];
    for (unsigned type = SPICE_TEXT; to && type < SPICE_TYPES_END; type++) {
        if (a->offer[s] & BIT(type)) {
            store_le32(to, type);
            to += 4;
        }
    }
}

static void ask(struct spice_agent *a)
{
    uint8_t *to = begin_clipboard(a, VD_AGENT_CLIPBOARD_REQUEST, a->ask_selection, 4);

    a->owe_ask = false;
    if (to)
        store_le32(to, a->ask_type);
}

/* To the first request. That there is nothing is said by no type. */
static void answer(struct spice_agent *a)
{
    const struct spice_request r = a->request[0];
    uint8_t *to = begin_clipboard(a, VD_AGENT_CLIPBOARD, r.selection, 4 + a->answer.len);

    if (to) {
        store_le32(to, a->answer.data ? r.type : VD_AGENT_CLIPBOARD_NONE);
        if (a->answer.data)
            memcpy(to + 4, a->answer.data, a->answer.len);
    }
    spice_blob_clear(&a->answer);
    memmove(a->request, a->request + 1, --a->request_count * sizeof(a->request[0]));
    a->request_state = SPICE_WAITS;
    a->out_answers = true;
}

/* Could an agent of this one's abilities be told of the selection? */
static bool has_selection(const struct spice_agent *a, unsigned s)
{
    return spice_shares(a) && (s == SPICE_CLIPBOARD || spice_has(a, VD_AGENT_CAP_CLIPBOARD_SELECTION));
}

/* Make one of what is owed; false: nothing is. */
static bool next_message(struct spice_agent *a)
{
    if (a->owe_announce)
        return announce(a), true;
    if (!a->known)
        return false;
    if (a->owe_max)
        return max_clipboard(a), true;
    if (a->owe_monitors && spice_has(a, VD_AGENT_CAP_MONITORS_CONFIG))
        return monitors(a), true;
    for (unsigned s = 0; s < SPICE_SELECTIONS; s++) {
        if (!has_selection(a, s))
            continue;
        if (a->told[s] && !a->offer[s])
            return release(a, s), true;
        if (a->owe_grab[s] && a->offer[s])
            return grab(a, s), true;
    }
    if (a->owe_ask)
        return ask(a), true;
    if (a->request_count && a->request_state == SPICE_READY)
        return answer(a), true;
    return spice_file_message(a);
}

/* The message is through; or there was no memory for it. */
static void end_message(struct spice_agent *a)
{
    spice_blob_clear(&a->out);
    a->out_pos = 0;
    if (!a->out_answers)
        return;
    a->out_answers = false;
    spice_next_request(a);
}

static bool begin_chunk(struct spice_agent *a)
{
    while (a->out_pos == a->out.len) {
        if (!next_message(a))
            return false;
        if (!a->out.data)
            end_message(a);
    }
    a->out_left = (uint32_t)MIN(a->out.len - a->out_pos, (uint64_t)VD_AGENT_MAX_DATA_SIZE);
    a->out_head_left = sizeof(a->out_head);
    store_le32(a->out_head, VDP_CLIENT_PORT);
    store_le32(a->out_head + 4, a->out_left);
    a->out_pos += a->out_left;
    return true;
}

static size_t take_some(struct spice_agent *a, uint8_t *to, size_t max)
{
    size_t n;

    if (a->out_head_left) {
        n = MIN(max, (size_t)a->out_head_left);
        memcpy(to, a->out_head + sizeof(a->out_head) - a->out_head_left, n);
        a->out_head_left -= (uint32_t)n;
        return n;
    }
    n = MIN(max, (size_t)a->out_left);
    memcpy(to, a->out.data + a->out_pos - a->out_left, n);
    a->out_left -= (uint32_t)n;
    if (!a->out_left && a->out_pos == a->out.len)
        end_message(a);
    return n;
}

size_t spice_agent_take(struct spice_agent *a, uint8_t *to, size_t max)
{
    size_t n = 0;

    while (a->open && n < max && (a->out_head_left || a->out_left || begin_chunk(a)))
        n += take_some(a, to + n, max - n);
    return n;
}
