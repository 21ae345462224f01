/* SPDX-License-Identifier: MIT */
/* An agent's insides: spice_agent.c, its life and what the host wants; spice_in.c, what comes from the guest;
 * spice_out.c, what goes to it. */
#ifndef VZ_SPICE_SPICE_IMPL_H
#define VZ_SPICE_SPICE_IMPL_H

#include "spice/spice_agent.h"
#include "spice/vd_agent_spec.h"
#include "state/state.h"

#define SPICE_STREAMS  2u /* VDP_CLIENT_PORT, VDP_SERVER_PORT */
#define SPICE_BODY_MAX 1024u
/* A message for the guest: text may double when its lines end otherwise. */
#define SPICE_OUT_MAX (2 * (uint64_t)SPICE_CONTENT_MAX + 64)

/* What is done with the rest of a message's body. */
enum { SPICE_IN_BODY, SPICE_IN_CONTENT, SPICE_IN_SKIP, SPICE_IN_MODES };

/* A message of which some has come. */
struct spice_stream {
    uint8_t head[sizeof(struct vd_agent_message)];
    uint32_t head_len;
    uint32_t left; /* bytes of the body to come, once the head is whole */
    uint8_t mode;
    uint8_t prefix; /* CLIPBOARD, SPICE_IN_BODY: what it is about has so many bytes, not all of which have come */
    uint8_t body[SPICE_BODY_MAX];
    uint32_t body_len;
};

enum { SPICE_WAITS, SPICE_TOLD, SPICE_READY };

struct spice_request {
    uint8_t selection, type;
};

/* A file on its way: its head is owed; the guest has it, and does not answer; a piece is asked for; is there; all is sent. */
enum {
    SPICE_FILE_FREE, SPICE_FILE_BEGINS, SPICE_FILE_OFFERED, SPICE_FILE_READS, SPICE_FILE_HAS, SPICE_FILE_SENT,
    SPICE_FILE_ENDS
};

struct spice_file {
    uint32_t id;
    uint8_t state; /* SPICE_FILE_ENDS: the guest is owed the word that it is cancelled */
    uint64_t size, left;
    struct state_blob piece;
    char name[SPICE_FILE_NAME_MAX + 1];
};

struct spice_agent {
    const struct spice_agent_ops *ops;
    void *arg;
    bool shares;

    bool open, known; /* by the guest; its caps are */
    uint32_t caps;

    uint8_t chunk_head[sizeof(struct vdi_chunk_header)];
    uint32_t chunk_head_len, chunk_left; /* left: once the head is whole */
    struct spice_stream stream[SPICE_STREAMS];

    uint8_t guest[SPICE_SELECTIONS]; /* types that the guest offers */
    uint8_t offer[SPICE_SELECTIONS]; /* types that the host offers, */
    uint8_t told[SPICE_SELECTIONS];  /* and those that the guest knows of */
    bool owe_grab[SPICE_SELECTIONS], owe_announce, owe_max, owe_monitors, owe_ask;
    bool ask_answer; /* the announcement: the guest is to answer with its own */

    bool asking;
    uint8_t ask_selection, ask_type;
    struct state_blob content; /* of its answer, as far as it has come */
    uint64_t content_room;

    struct spice_request request[SPICE_REQUESTS_MAX];
    uint32_t request_count;
    uint8_t request_state; /* of the first one */
    uint64_t request_id;   /* likewise */
    struct state_blob answer; /* SPICE_READY: NULL: none */

    struct spice_monitor monitor[SPICE_MONITORS_MAX];
    unsigned monitor_count;

    struct spice_file file[SPICE_FILES_MAX];
    unsigned next_file; /* whose turn it is */

    struct state_blob out; /* the message being sent; */
    uint64_t out_pos;      /* how much of it is in chunks that were begun, but for out_left */
    bool out_answers;
    uint8_t out_head[sizeof(struct vdi_chunk_header)];
    uint32_t out_head_left, out_left; /* bytes to take of the chunk: of its head; of its data */
};

static inline bool spice_has(const struct spice_agent *a, unsigned cap)
{
    return a->known && a->caps & BIT(cap);
}

static inline bool spice_shares(const struct spice_agent *a)
{
    return a->shares && spice_has(a, VD_AGENT_CAP_CLIPBOARD_BY_DEMAND);
}

/* How long what is in front of a clipboard message's body is. */
static inline unsigned spice_selection_len(const struct spice_agent *a)
{
    return spice_has(a, VD_AGENT_CAP_CLIPBOARD_SELECTION) ? sizeof(struct vd_agent_clipboard_selection) : 0;
}

static inline void spice_blob_clear(struct state_blob *b)
{
    __builtin_free(b->data);
    *b = (struct state_blob){NULL, 0};
}

/* spice_agent.c */
void spice_met(struct spice_agent *a, bool anew, uint32_t caps); /* it has announced what it can */
void spice_guest_offers(struct spice_agent *a, enum spice_selection s, unsigned types);
void spice_guest_asks(struct spice_agent *a, enum spice_selection s, enum spice_type type);
void spice_next_request(struct spice_agent *a);
void spice_answered(struct spice_agent *a, enum spice_failure why); /* the host's question */

/* spice_out.c: a message with room for its body, of which the caller fills in what is not zero; NULL without memory: it is
 * not sent. */
uint8_t *spice_begin(struct spice_agent *a, unsigned type, size_t len);

/* spice_files.c */
void spice_files_forget(struct spice_agent *a); /* the agent is gone */
void spice_file_status(struct spice_agent *a, uint32_t id, uint32_t result);
bool spice_file_message(struct spice_agent *a); /* make one of what is owed; false: nothing is */

#endif
