/* SPDX-License-Identifier: MIT */
/* What comes from the guest: chunks, of which each port's are a stream of messages. Sizes are the guest's, so nothing is
 * kept by them: a body has SPICE_BODY_MAX bytes of room, a content grows with what comes of it, and the rest is skipped. */
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "spice/line_ends.h"
#include "spice/spice_impl.h"

static uint32_t message_type(const struct spice_stream *m)
{
    return load_le32(m->head + offsetof(struct vd_agent_message, type));
}

/* What a clipboard message is about; false: none of ours. */
static bool get_selection(const struct spice_agent *a, const struct spice_stream *m, enum spice_selection *ret)
{
    *ret = spice_selection_len(a) ? m->body[0] : SPICE_CLIPBOARD;
    return spice_shares(a) && m->body_len >= spice_selection_len(a) && *ret < SPICE_SELECTIONS;
}

/* ---- Content -------------------------------------------------------------------------------- */

/* The body so far says whose the content is. Is that what was asked for? */
static bool is_asked_for(const struct spice_agent *a, const struct spice_stream *m, bool *ret_none)
{
    enum spice_selection s;
    uint32_t type;

    if (!get_selection(a, m, &s) || m->body_len < spice_selection_len(a) + 4 || !a->asking || a->owe_ask ||
        s != a->ask_selection)
        return false;
    type = load_le32(m->body + spice_selection_len(a));
    *ret_none = type == VD_AGENT_CLIPBOARD_NONE;
    return *ret_none || type == a->ask_type;
}

/* The head of a content has come. One at a time: two streams could bring one each. */
static void begin_content(struct spice_agent *a, struct spice_stream *m)
{
    bool none = false, asked = is_asked_for(a, m, &none) && a->stream[0].mode != SPICE_IN_CONTENT &&
                               a->stream[1].mode != SPICE_IN_CONTENT;

    m->mode = SPICE_IN_SKIP;
    if (!asked)
        return;
    if (none)
        spice_answered(a, SPICE_NO_CONTENT);
    else if (m->left > SPICE_CONTENT_MAX)
        spice_answered(a, SPICE_TOO_LARGE);
    else
        m->mode = SPICE_IN_CONTENT;
}

static void put_content(struct spice_agent *a, struct spice_stream *m, const uint8_t *data, size_t len)
{
    struct state_blob *c = &a->content;

    if (c->len + len > a->content_room) {
        uint64_t room = MIN(MAX(2 * a->content_room, c->len + MAX(len, (size_t)4096)), (uint64_t)SPICE_CONTENT_MAX);
        uint8_t *more = realloc(c->data, room);

        if (!more) {
            m->mode = SPICE_IN_SKIP;
            spice_answered(a, SPICE_NO_MEMORY);
            return;
        }
        c->data = more;
        a->content_room = room;
    }
    memcpy(c->data + c->len, data, len);
    c->len += len;
}

static void end_content(struct spice_agent *a)
{
    if (a->ask_type == SPICE_TEXT && spice_has(a, VD_AGENT_CAP_GUEST_LINEEND_CRLF))
        a->content.len = line_ends_to_lf(a->content.data, a->content.len);
    spice_answered(a, SPICE_NO_FAILURE);
}

/* ---- Messages ------------------------------------------------------------------------------- */

static void on_capabilities(struct spice_agent *a, const struct spice_stream *m)
{
    if (m->body_len >= 4)
        spice_met(a, load_le32(m->body), m->body_len >= 8 ? load_le32(m->body + 4) : 0);
}

static void on_grab(struct spice_agent *a, const struct spice_stream *m)
{
    enum spice_selection s;
    unsigned types = 0;

    if (!get_selection(a, m, &s))
        return;
    for (uint32_t i = spice_selection_len(a); i + 4 <= m->body_len; i += 4) {
        uint32_t type = load_le32(m->body + i);

        types |= type < SPICE_TYPES_END ? (unsigned)BIT(type) & SPICE_TYPES_ALL : 0;
    }
    spice_guest_offers(a, s, types);
}

static void on_request(struct spice_agent *a, const struct spice_stream *m)
{
    enum spice_selection s;
    uint32_t type;

    if (!get_selection(a, m, &s) || m->body_len < spice_selection_len(a) + 4)
        return;
    type = load_le32(m->body + spice_selection_len(a));
    if (type && type < SPICE_TYPES_END)
        spice_guest_asks(a, s, type);
}

static void on_release(struct spice_agent *a, const struct spice_stream *m)
{
    enum spice_selection s;

    if (get_selection(a, m, &s) && a->guest[s])
        spice_guest_offers(a, s, 0);
}

static void on_file_status(struct spice_agent *a, const struct spice_stream *m)
{
    if (m->body_len >= sizeof(struct vd_agent_file_xfer_status))
        spice_file_status(a, load_le32(m->body), load_le32(m->body + 4));
}

static void on_message(struct spice_agent *a, const struct spice_stream *m)
{
    switch (message_type(m)) {
    case VD_AGENT_ANNOUNCE_CAPABILITIES: on_capabilities(a, m); break;
    case VD_AGENT_CLIPBOARD_GRAB: on_grab(a, m); break;
    case VD_AGENT_CLIPBOARD_REQUEST: on_request(a, m); break;
    case VD_AGENT_CLIPBOARD_RELEASE: on_release(a, m); break;
    case VD_AGENT_FILE_XFER_STATUS: on_file_status(a, m); break;
    default: break;
    }
}

/* All of it has come. It may be the last that came from this port: m is as for the next one before anybody hears. */
static void end_message(struct spice_agent *a, struct spice_stream *m)
{
    const struct spice_stream whole = *m;

    m->head_len = m->body_len = 0;
    m->prefix = 0;
    m->mode = SPICE_IN_BODY;
    if (whole.mode == SPICE_IN_CONTENT)
        end_content(a);
    else if (whole.mode == SPICE_IN_BODY)
        on_message(a, &whole);
}

/* The head is whole. */
static void begin_body(struct spice_agent *a, struct spice_stream *m)
{
    m->left = load_le32(m->head + offsetof(struct vd_agent_message, size));
    m->body_len = 0;
    m->mode = SPICE_IN_BODY;
    m->prefix = message_type(m) == VD_AGENT_CLIPBOARD ? (uint8_t)(spice_selection_len(a) + 4) : 0;
    if (load_le32(m->head) != VD_AGENT_PROTOCOL || (!m->prefix && m->left > SPICE_BODY_MAX))
        m->mode = SPICE_IN_SKIP;
}

static size_t put_body(struct spice_agent *a, struct spice_stream *m, const uint8_t *data, size_t len)
{
    size_t n = MIN(len, (size_t)m->left);

    if (m->mode == SPICE_IN_BODY && m->prefix)
        n = MIN(n, (size_t)(m->prefix - m->body_len));
    m->left -= (uint32_t)n;
    if (m->mode == SPICE_IN_BODY) {
        memcpy(m->body + m->body_len, data, n);
        m->body_len += (uint32_t)n;
        if (m->prefix && (m->body_len == m->prefix || !m->left))
            begin_content(a, m);
    } else if (m->mode == SPICE_IN_CONTENT && n) {
        put_content(a, m, data, n);
    }
    if (!m->left)
        end_message(a, m);
    return n;
}

static size_t put_head(struct spice_agent *a, struct spice_stream *m, const uint8_t *data, size_t len)
{
    size_t n = MIN(len, sizeof(m->head) - m->head_len);

    memcpy(m->head + m->head_len, data, n);
    m->head_len += (uint32_t)n;
    if (m->head_len == sizeof(m->head)) {
        begin_body(a, m);
        if (!m->left)
            put_body(a, m, data, 0);
    }
    return n;
}

static void put_stream(struct spice_agent *a, struct spice_stream *m, const uint8_t *data, size_t len)
{
    while (len) {
        size_t n = m->head_len < sizeof(m->head) ? put_head(a, m, data, len) : put_body(a, m, data, len);

        data += n;
        len -= n;
    }
}

/* ---- Chunks --------------------------------------------------------------------------------- */

static size_t put_chunk(struct spice_agent *a, const uint8_t *data, size_t len)
{
    uint32_t port = load_le32(a->chunk_head);
    size_t n = MIN(len, (size_t)a->chunk_left);

    a->chunk_left -= (uint32_t)n;
    if (!a->chunk_left)
        a->chunk_head_len = 0;
    if (port == VDP_CLIENT_PORT || port == VDP_SERVER_PORT)
        put_stream(a, &a->stream[port - VDP_CLIENT_PORT], data, n);
    return n;
}

static size_t put_chunk_head(struct spice_agent *a, const uint8_t *data, size_t len)
{
    size_t n = MIN(len, sizeof(a->chunk_head) - a->chunk_head_len);

    memcpy(a->chunk_head + a->chunk_head_len, data, n);
    a->chunk_head_len += (uint32_t)n;
    if (a->chunk_head_len == sizeof(a->chunk_head)) {
        a->chunk_left = load_le32(a->chunk_head + offsetof(struct vdi_chunk_header, size));
        if (!a->chunk_left)
            a->chunk_head_len = 0;
    }
    return n;
}

void spice_agent_put(struct spice_agent *a, const uint8_t *data, size_t len)
{
    while (len && a->open) {
        size_t n = a->chunk_head_len < sizeof(a->chunk_head) ? put_chunk_head(a, data, len) : put_chunk(a, data, len);

        data += n;
        len -= n;
    }
}
