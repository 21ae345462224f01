/* SPDX-License-Identifier: MIT */
/* Writing again what a server may have forgotten: see nbd_replay.h. */
#include "block/nbd_replay.h"

#include <string.h>

#include "base/checked.h"
#include "block/nbd_requests.h"

#define REPLAY_DEPTH 32u
#define REPLAY_STEP  (1 * MIB) /* written again, then flushed: what a server that soon dies again cannot undo */

static bool overlaps_inflight(const struct nbd_link *l, const struct write_log_entry *e)
{
    const struct nbd_command *cmd;

    TAILQ_FOREACH(cmd, &l->inflight, link) {
        if (cmd->offset < e->offset + e->len && e->offset < cmd->offset + cmd->len)
            return true;
    }
    return false;
}

/* The data stays the log's. */
static struct nbd_command *replay_of(struct nbd_client *c, const struct write_log_entry *e)
{
    struct nbd_command *cmd = nbd_requests_own(c, e->data || !c->export.can_zero ? BLK_WRITE : BLK_ZERO);

    if (!cmd)
        return NULL;
    cmd->is_replay = true;
    cmd->offset = e->offset;
    cmd->len = e->len;
    cmd->may_unmap = e->may_unmap;
    cmd->data = e->data;
    if (cmd->op == BLK_WRITE && !e->data) {
        if (nbd_command_copy(c, cmd) < 0) {
            nbd_command_free(c, cmd);
            return NULL;
        }
        memset(cmd->data, 0, e->len);
    }
    return cmd;
}

/* What was written again up to now is made stable, and forgotten by nbd_requests_answered(). */
static void flush_replayed(struct nbd_client *c, struct nbd_link *l)
{
    struct nbd_command *cmd = l->count ? NULL : nbd_requests_own(c, BLK_FLUSH);

    if (!cmd)
        return;
    cmd->covers = c->replayed->number;
    c->replayed = NULL; /* nothing is sent before the answer, and then the log begins behind it */
    c->replayed_bytes = 0;
    nbd_link_send(l, cmd);
}

void nbd_replay(struct nbd_client *c)
{
    struct nbd_link *l = &c->link[0];

    while (l->state == NBD_LINK_READY && l->count < REPLAY_DEPTH) {
        struct write_log_entry *e = c->replayed ? TAILQ_NEXT(c->replayed, link) : TAILQ_FIRST(&c->log.entries);
        struct nbd_command *cmd = TAILQ_FIRST(&l->inflight);

        if (cmd && cmd->op == BLK_FLUSH)
            return;
        if (!e) {
            if (!l->count)
                nbd_client_go_up(c);
            return;
        }
        if (c->replayed_bytes >= REPLAY_STEP) {
            flush_replayed(c, l);
            return;
        }
        if (overlaps_inflight(l, e) || !(cmd = replay_of(c, e)))
            return; /* without memory: again after an answer, or at the next turn */
        c->replayed = e;
        c->replayed_bytes += e->len;
        nbd_link_send(l, cmd);
    }
}
