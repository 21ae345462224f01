/* SPDX-License-Identifier: MIT */
/* An agent's life, and what the host offers it and asks of it. */
#include "spice/spice_agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vz/error.h>

#include "base/error.h"
#include "spice/line_ends.h"
#include "spice/spice_impl.h"

_Static_assert(SPICE_TEXT == (int)VD_AGENT_CLIPBOARD_UTF8_TEXT && SPICE_JPEG == (int)VD_AGENT_CLIPBOARD_IMAGE_JPG &&
               SPICE_PRIMARY == (int)VD_AGENT_CLIPBOARD_SELECTION_PRIMARY, "as on the wire");

struct spice_agent *spice_agent_create(bool shares, const struct spice_agent_ops *ops, void *arg)
{
    struct spice_agent *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    a->shares = shares;
    a->ops = ops;
    a->arg = arg;
    return a;
}

void spice_agent_destroy(struct spice_agent *a)
{
    if (!a)
        return;
    free(a->content.data);
    free(a->answer.data);
    free(a->out.data);
    for (unsigned i = 0; i < SPICE_FILES_MAX; i++)
        free(a->file[i].piece.data);
    free(a);
}

/* ---- The guest comes and goes --------------------------------------------------------------- */

/* What a new agent knows nothing of. */
static void forget_guest(struct spice_agent *a)
{
    a->request_count = 0;
    a->request_state = SPICE_WAITS;
    spice_blob_clear(&a->answer);
    memset(a->told, 0, sizeof(a->told));
    for (unsigned s = 0; s < SPICE_SELECTIONS; s++) {
        a->owe_grab[s] = a->offer[s];
        if (a->guest[s])
            spice_guest_offers(a, s, 0);
    }
    a->owe_ask = false;
    if (a->asking)
        spice_answered(a, SPICE_GONE);
    spice_files_forget(a);
}

void spice_agent_open(struct spice_agent *a, bool open)
{
    bool was_there = a->known;

    if (a->open == open)
        return;
    a->open = open;
    a->chunk_head_len = a->chunk_left = 0;
    memset(a->stream, 0, sizeof(a->stream));
    spice_blob_clear(&a->out);
    a->out_pos = 0;
    a->out_answers = false;
    a->out_head_left = a->out_left = 0;
    a->owe_max = a->owe_monitors = false;
    a->owe_announce = a->ask_answer = open;
    forget_guest(a);
    a->known = false;
    a->caps = 0;
    if (was_there)
        a->ops->presence(a->arg, false);
    if (open)
        a->ops->output(a->arg);
}

void spice_met(struct spice_agent *a, bool anew, uint32_t caps)
{
    bool first = !a->known, shared = spice_shares(a);
    bool other = first || shared != (a->shares && caps & BIT(VD_AGENT_CAP_CLIPBOARD_BY_DEMAND));

    if (!first && (anew || other))
        forget_guest(a);
    a->caps = caps;
    a->known = true;
    if (anew) {
        a->owe_announce = true;
        a->ask_answer = false;
    }
    if (anew || first)
        a->owe_max = spice_shares(a) && spice_has(a, VD_AGENT_CAP_MAX_CLIPBOARD);
    a->owe_monitors = a->monitor_count;
    if (other)
        a->ops->presence(a->arg, true);
    a->ops->output(a->arg);
}

bool spice_agent_is_there(const struct spice_agent *a)
{
    return spice_shares(a);
}

/* ---- What the guest has --------------------------------------------------------------------- */

unsigned spice_agent_types(const struct spice_agent *a, enum spice_selection s)
{
    return a->guest[s];
}

void spice_guest_offers(struct spice_agent *a, enum spice_selection s, unsigned types)
{
    /* Its offer takes the place of ours, which is not taken back: clipboard managers would restore an older one. */
    if (types || !a->guest[s])
        a->offer[s] = a->told[s] = 0;
    a->guest[s] = (uint8_t)types;
    a->ops->offered(a->arg, s, types);
}

int spice_agent_ask(struct spice_agent *a, enum spice_selection s, enum spice_type type)
{
    if (a->asking)
        return -EBUSY;
    if (!(a->guest[s] & BIT(type)))
        return -ENOENT;
    a->asking = a->owe_ask = true;
    a->ask_selection = (uint8_t)s;
    a->ask_type = (uint8_t)type;
    a->ops->output(a->arg);
    return 0;
}

/* What comes of an answer from now on is passed over. */
static void end_ask(struct spice_agent *a)
{
    for (unsigned i = 0; i < SPICE_STREAMS; i++) {
        if (a->stream[i].mode == SPICE_IN_CONTENT)
            a->stream[i].mode = SPICE_IN_SKIP;
    }
    a->asking = a->owe_ask = false;
    a->content = (struct state_blob){NULL, 0};
    a->content_room = 0;
}

void spice_answered(struct spice_agent *a, enum spice_failure why)
{
    struct state_blob c = a->content;

    if (why) {
        free(c.data);
        c = (struct state_blob){NULL, 0};
    } else if (!c.data && !(c.data = malloc(1))) {
        why = SPICE_NO_MEMORY;
    }
    end_ask(a);
    a->ops->content(a->arg, c.data, c.len, why);
}

void spice_agent_forget(struct spice_agent *a)
{
    free(a->content.data);
    end_ask(a);
}

bool spice_agent_is_asking(const struct spice_agent *a)
{
    return a->asking;
}

size_t spice_agent_progress(const struct spice_agent *a)
{
    return a->content.len;
}

/* ---- What the host has ---------------------------------------------------------------------- */

void spice_agent_offer(struct spice_agent *a, enum spice_selection s, unsigned types)
{
    a->offer[s] = types & SPICE_TYPES_ALL;
    a->owe_grab[s] = a->offer[s];
    if (a->offer[s])
        a->guest[s] = 0; /* the guest hears of it before it could be asked */
    a->ops->output(a->arg);
}

/* The guest's answer to its first request is fetched, unless the one before is not through yet. */
void spice_next_request(struct spice_agent *a)
{
    const struct spice_request r = a->request[0];

    if (!a->request_count || a->request_state != SPICE_WAITS || a->out_answers)
        return;
    if (!(a->offer[r.selection] & BIT(r.type))) {
        a->request_state = SPICE_READY;
        a->ops->output(a->arg);
        return;
    }
    a->request_state = SPICE_TOLD;
    a->ops->wanted(a->arg, ++a->request_id, r.selection, r.type);
}

void spice_guest_asks(struct spice_agent *a, enum spice_selection s, enum spice_type type)
{
    if (a->request_count == SPICE_REQUESTS_MAX)
        return;
    a->request[a->request_count++] = (struct spice_request){.selection = (uint8_t)s, .type = (uint8_t)type};
    spice_next_request(a);
}

void spice_agent_give(struct spice_agent *a, uint64_t request, void *data, size_t len)
{
    if (!a->request_count || a->request_state != SPICE_TOLD || request != a->request_id) {
        free(data);
        return;
    }
    if (data && len > SPICE_CONTENT_MAX) {
        free(data);
        data = NULL;
    }
    if (data && a->request[0].type == SPICE_TEXT && spice_has(a, VD_AGENT_CAP_GUEST_LINEEND_CRLF)) {
        uint8_t *lines = line_ends_to_crlf(data, len, &len);

        free(data);
        data = lines;
    }
    a->answer = (struct state_blob){data, data ? len : 0};
    a->request_state = SPICE_READY;
    a->ops->output(a->arg);
}

void spice_agent_monitors(struct spice_agent *a, const struct spice_monitor *monitor, unsigned count)
{
    a->monitor_count = MIN(count, SPICE_MONITORS_MAX);
    memcpy(a->monitor, monitor, a->monitor_count * sizeof(a->monitor[0]));
    a->owe_monitors = a->known;
    a->ops->output(a->arg);
}

/* ---- Saved ---------------------------------------------------------------------------------- */

static const struct state_field stream_fields[] = {
    STATE_BYTES(struct spice_stream, head),
    STATE_UINT_MAX(struct spice_stream, head_len, sizeof(struct vd_agent_message)),
    STATE_UINT(struct spice_stream, left),
    STATE_UINT_MAX(struct spice_stream, mode, SPICE_IN_MODES - 1),
    STATE_UINT_MAX(struct spice_stream, prefix, 8),
    STATE_BYTES(struct spice_stream, body),
    STATE_UINT_MAX(struct spice_stream, body_len, SPICE_BODY_MAX),
    STATE_END,
};

static const struct state_field request_fields[] = {
    STATE_UINT_MAX(struct spice_request, selection, SPICE_SELECTIONS - 1),
    STATE_UINT_MAX(struct spice_request, type, SPICE_TYPES_END - 1),
    STATE_END,
};

static const struct state_field agent_fields[] = {
    STATE_BOOL(struct spice_agent, open),
    STATE_BOOL(struct spice_agent, known),
    STATE_UINT(struct spice_agent, caps),
    STATE_BYTES(struct spice_agent, chunk_head),
    STATE_UINT_MAX(struct spice_agent, chunk_head_len, sizeof(struct vdi_chunk_header)),
    STATE_UINT(struct spice_agent, chunk_left),
    STATE_STRUCT_ARRAY(struct spice_agent, stream, stream_fields),
    STATE_ARRAY_MAX(struct spice_agent, guest, SPICE_TYPES_ALL),
    STATE_ARRAY_MAX(struct spice_agent, told, SPICE_TYPES_ALL),
    STATE_BOOL(struct spice_agent, owe_announce),
    STATE_BOOL(struct spice_agent, owe_max),
    STATE_BOOL(struct spice_agent, ask_answer),
    STATE_STRUCT_ARRAY(struct spice_agent, request, request_fields),
    STATE_UINT_MAX(struct spice_agent, request_count, SPICE_REQUESTS_MAX),
    STATE_BLOB(struct spice_agent, out, SPICE_OUT_MAX),
    STATE_UINT_MAX(struct spice_agent, out_pos, SPICE_OUT_MAX),
    STATE_BOOL(struct spice_agent, out_answers),
    STATE_BYTES(struct spice_agent, out_head),
    STATE_UINT_MAX(struct spice_agent, out_head_left, sizeof(struct vdi_chunk_header)),
    STATE_UINT_MAX(struct spice_agent, out_left, VD_AGENT_MAX_DATA_SIZE),
    STATE_END,
};

/* What is loaded could have come about: what is left of a message fits. */
static bool stream_is_sound(const struct spice_stream *m)
{
    if (m->head_len < sizeof(m->head) || m->mode != SPICE_IN_BODY)
        return m->head_len < sizeof(m->head) ? m->mode == SPICE_IN_BODY : m->left;
    return m->left && (m->prefix ? m->body_len < m->prefix : m->body_len + (uint64_t)m->left <= SPICE_BODY_MAX);
}

static bool out_is_sound(const struct spice_agent *a)
{
    if (!a->out.len)
        return !a->out_pos && !a->out_left && !a->out_head_left && !a->out_answers;
    return a->out_pos <= a->out.len && a->out_left <= a->out_pos && (a->out_left || a->out_pos < a->out.len) &&
           (a->out_left || !a->out_head_left);
}

static int agent_loaded(void *object, struct vz_error *err)
{
    struct spice_agent *a = object;
    bool sound = out_is_sound(a) && (a->chunk_head_len < sizeof(a->chunk_head) || a->chunk_left) &&
                 (!a->known || a->open);

    for (unsigned i = 0; i < SPICE_STREAMS; i++) {
        struct spice_stream *m = &a->stream[i];

        sound = sound && stream_is_sound(m);
        if (m->mode == SPICE_IN_CONTENT)
            m->mode = SPICE_IN_SKIP; /* who asked is another process */
    }
    if (!sound)
        return error_set(err, EINVAL, VZ_ERROR_RESTORE, "the agent's state is damaged");
    if (!a->out.len)
        spice_blob_clear(&a->out);
    a->request_state = SPICE_WAITS;
    a->owe_monitors = a->known && a->monitor_count;
    if (a->known)
        a->ops->presence(a->arg, true);
    for (unsigned s = 0; s < SPICE_SELECTIONS; s++) {
        a->owe_grab[s] = a->offer[s];
        if (a->guest[s])
            spice_guest_offers(a, s, a->guest[s] & SPICE_TYPES_ALL);
    }
    spice_next_request(a);
    a->ops->output(a->arg);
    return 0;
}

const struct state_desc spice_agent_state = {"spice-agent", 1, agent_fields, agent_loaded};
