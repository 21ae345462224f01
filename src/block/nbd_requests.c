/* SPDX-License-Identifier: MIT */
/* Requests and commands: see nbd_requests.h. A request's moved counts its commands that have not ended, and its
 * err is the first error among them. */
#include "block/nbd_requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/iov.h"

#define PIECE_MAX (4 * MIB) /* of data, in a command */
#define RANGE_MAX (1 * GIB) /* of zeroes, or discarded */
#define ZEROES    (1 * MIB) /* written where a server knows no zeroes */
#define COPIES_MAX (64 * MIB)
#define PIECES_MAX 4096u

void nbd_command_free(struct nbd_client *c, struct nbd_command *cmd)
{
    if (cmd->own_data) {
        buffers_put(&c->buffers, cmd->data, cmd->len);
        c->copied -= cmd->len;
    }
    c->pieces -= cmd->req != NULL;
    free(cmd);
}

int nbd_command_copy(struct nbd_client *c, struct nbd_command *cmd)
{
    cmd->data = buffers_get(&c->buffers, cmd->len);
    if (!cmd->data)
        return -ENOMEM;
    cmd->own_data = true;
    c->copied += cmd->len;
    return 0;
}

bool nbd_requests_have_room(const struct nbd_client *c)
{
    return c->copied < COPIES_MAX && c->pieces < PIECES_MAX;
}

struct nbd_command *nbd_requests_own(const struct nbd_client *c, enum blk_op op)
{
    struct nbd_command *cmd = calloc(1, sizeof(*cmd));

    if (!cmd)
        return NULL;
    cmd->op = op;
    cmd->deadline_ns = nbd_client_deadline_ns(c);
    return cmd;
}

/* ---- Making --------------------------------------------------------------------------------- */

/* Are writes kept until a flush? */
static bool keeps_writes(const struct nbd_client *c)
{
    return !c->no_sync && !c->write_through;
}

/* The data of a command: the request's memory, where it is in one piece, or a copy. libnbd takes one piece only;
 * and what is kept must not be the guest's. */
static int find_data(struct nbd_client *c, struct nbd_command *cmd)
{
    const struct blk_req *req = cmd->req;
    struct iovec v;
    bool writes = cmd->op == BLK_WRITE;

    if (cmd->op != BLK_READ && !writes)
        return 0;
    if (req->op == BLK_ZERO) {
        if (!c->zeroes)
            c->zeroes = calloc(1, ZEROES);
        cmd->data = c->zeroes;
        return cmd->data ? 0 : -ENOMEM;
    }
    if (!(writes && keeps_writes(c)) &&
        iov_slice(req->iov, req->iov_count, cmd->skip, cmd->len, &v, 1) == 1 && v.iov_len == cmd->len) {
        cmd->data = v.iov_base;
        return 0;
    }
    if (nbd_command_copy(c, cmd) < 0)
        return -ENOMEM;
    if (writes)
        iov_read(req->iov, req->iov_count, cmd->skip, cmd->data, cmd->len);
    return 0;
}

/* Is it the server's that a write is stable before it ends? */
static bool wants_fua(const struct nbd_client *c, const struct blk_req *req)
{
    if (c->no_sync || (req->op != BLK_WRITE && req->op != BLK_ZERO))
        return false;
    return c->write_through || (req->fua && c->export.can_fua);
}

static int add_piece(struct nbd_client *c, struct blk_req *req, enum blk_op op, uint64_t skip, uint64_t len)
{
    struct nbd_command *cmd = calloc(1, sizeof(*cmd));

    if (!cmd)
        return -ENOMEM;
    cmd->op = op;
    cmd->req = req;
    cmd->fua = wants_fua(c, req);
    cmd->may_unmap = req->unmap;
    cmd->offset = req->offset + skip;
    cmd->len = (uint32_t)len;
    cmd->skip = skip;
    cmd->deadline_ns = req->deadline_ns;
    c->pieces++;
    if (find_data(c, cmd) < 0) {
        nbd_command_free(c, cmd);
        return -ENOMEM;
    }
    req->moved++;
    TAILQ_INSERT_TAIL(&c->wait, cmd, link);
    return 0;
}

static uint64_t piece_max(const struct nbd_client *c, const struct blk_req *req, enum blk_op op)
{
    uint64_t max = req->op == BLK_ZERO && op == BLK_WRITE ? ZEROES
                   : op == BLK_READ || op == BLK_WRITE ? PIECE_MAX : RANGE_MAX;

    if (op == BLK_READ || op == BLK_WRITE)
        max = MIN(max, (uint64_t)c->export.payload_max);
    return MAX(align_down(max, c->b->block_size), (uint64_t)c->b->block_size);
}

static bool flush_after(struct nbd_client *c, struct blk_req *req);

/* One of those that req waits for is over. */
static void let_go(struct nbd_client *c, struct blk_req *req, bool was_flush, void (*end)(struct blk_req *req, int err))
{
    if (!--req->moved && (was_flush || !flush_after(c, req)))
        end(req, req->err);
}

void nbd_requests_go_on(struct nbd_client *c)
{
    struct blk_req *req = c->making;
    enum blk_op op = req->op == BLK_ZERO && !c->export.can_zero ? BLK_WRITE : req->op;
    uint64_t max = piece_max(c, req, op), len = req->op == BLK_FLUSH ? 0 : req->len;

    while (!req->err) { /* one of them may have failed already */
        uint64_t part = MIN(max, len - c->made);

        req->err = add_piece(c, req, op, c->made, part);
        c->made += part;
        if (c->made >= len)
            break;
        if (!nbd_requests_have_room(c))
            return;
    }
    c->making = NULL;
    let_go(c, req, false, blk_complete);
}

void nbd_requests_make(struct nbd_client *c, struct blk_req *req)
{
    bool nothing = (req->op == BLK_FLUSH && (c->no_sync || c->write_through || c->b->read_only)) ||
                   (req->op == BLK_DISCARD && !c->export.can_trim);

    if (nothing) {
        blk_complete(req, 0);
        return;
    }
    req->moved = 1; /* until all are made */
    req->err = 0;
    c->making = req;
    c->made = 0;
    nbd_requests_go_on(c);
}

bool nbd_requests_look(struct nbd_client *c, struct blk_nbd_look *look)
{
    struct nbd_command *cmd = nbd_requests_own(c, BLK_READ);

    if (!cmd)
        return false;
    cmd->look = look;
    cmd->status = &cmd->answer;
    cmd->offset = look->offset;
    cmd->len = (uint32_t)MIN(look->len, (uint64_t)RANGE_MAX);
    TAILQ_INSERT_TAIL(&c->wait, cmd, link);
    return true;
}

/* ---- Ending --------------------------------------------------------------------------------- */

/* A write is to be stable, and the server cannot do that by itself: a flush follows it. */
static bool flush_after(struct nbd_client *c, struct blk_req *req)
{
    if (!req->fua || c->no_sync || req->err || (req->op != BLK_WRITE && req->op != BLK_ZERO) ||
        wants_fua(c, req))
        return false;
    if (add_piece(c, req, BLK_FLUSH, 0, 0) == 0)
        return true;
    req->err = -ENOMEM;
    return false;
}

static void end_look(struct nbd_client *c, struct nbd_command *cmd, int err)
{
    struct blk_nbd_look *look = cmd->look;

    look->ret_zeroes = cmd->answer.zeroes;
    look->ret_len = align_down(cmd->answer.len, c->b->block_size);
    nbd_command_free(c, cmd);
    look->done(look, err);
}

static void end_piece(struct nbd_client *c, struct nbd_command *cmd, int err)
{
    struct blk_req *req = cmd->req;
    bool was_flush = cmd->op == BLK_FLUSH;

    nbd_command_free(c, cmd);
    req->err = req->err ? req->err : err;
    let_go(c, req, was_flush, blk_finish);
}

/* Keep a write that the server has, and may forget. */
static int keep(struct nbd_client *c, struct nbd_command *cmd)
{
    uint8_t *data = cmd->op == BLK_WRITE && cmd->req->op == BLK_WRITE ? cmd->data : NULL;

    /* One that is stable has to be written again, too, when what it lies on is. */
    bool is_stable = cmd->fua && TAILQ_EMPTY(&c->log.entries);

    if (!keeps_writes(c) || is_stable || (cmd->op != BLK_WRITE && cmd->op != BLK_ZERO))
        return 0;
    if (data && !cmd->own_data) { /* the guest's: made when the server's writes needed no log (find_data()) */
        data = buffers_get(&c->buffers, cmd->len);
        if (!data)
            return -ENOMEM;
        memcpy(data, cmd->data, cmd->len);
    }
    c->copied -= cmd->own_data ? cmd->len : 0;
    cmd->data = NULL;
    cmd->own_data = false;
    return write_log_add(&c->log, cmd->offset, cmd->len, cmd->may_unmap, data);
}

/* A flush that the guest has asked for tells it of writes that were lost. One of our own that fails has nobody
 * to tell, so the next one that somebody asked for fails. */
static int flushed(struct nbd_client *c, const struct nbd_command *cmd)
{
    int r = cmd->err;

    if (!r || !cmd->req)
        write_log_forget(&c->log, cmd->covers);
    if (!cmd->req) {
        c->lost_write = c->lost_write || r;
    } else if (!r && c->lost_write) {
        c->lost_write = false;
        r = -EIO;
    }
    return r;
}

void nbd_requests_answered(struct nbd_client *c, struct nbd_command *cmd)
{
    int r = cmd->err;

    c->backoff_ms = 0; /* a server that answers */
    if (cmd->look) {
        end_look(c, cmd, r);
        return;
    }
    if (cmd->op == BLK_FLUSH)
        r = flushed(c, cmd);
    else if (!r && !cmd->is_replay)
        r = keep(c, cmd);
    if (!r && cmd->op == BLK_READ && cmd->own_data)
        iov_write(cmd->req->iov, cmd->req->iov_count, cmd->skip, cmd->data, cmd->len);
    if (cmd->req) {
        end_piece(c, cmd, r);
        return;
    }
    if (cmd->is_replay && r)
        c->lost_write = true;
    if (cmd->op == BLK_FLUSH)
        c->trimming_log = false;
    nbd_command_free(c, cmd);
}

/* ---- Giving up ------------------------------------------------------------------------------ */

void nbd_requests_expire(struct nbd_client *c, uint64_t now_ns, int err)
{
    struct nbd_command *cmd, *next;

    for (cmd = TAILQ_FIRST(&c->wait); cmd; cmd = next) {
        next = TAILQ_NEXT(cmd, link);
        if (cmd->deadline_ns > now_ns || (!cmd->req && !cmd->look))
            continue;
        TAILQ_REMOVE(&c->wait, cmd, link);
        if (cmd->look)
            end_look(c, cmd, err);
        else
            end_piece(c, cmd, err);
    }
    if (c->making && c->making->deadline_ns <= now_ns) {
        struct blk_req *req = c->making;

        c->making = NULL;
        req->err = req->err ? req->err : err;
        let_go(c, req, false, blk_finish);
    }
}

void nbd_requests_drop_own(struct nbd_client *c)
{
    struct nbd_command *cmd, *next;

    for (cmd = TAILQ_FIRST(&c->wait); cmd; cmd = next) {
        next = TAILQ_NEXT(cmd, link);
        if (cmd->req || cmd->look)
            continue;
        TAILQ_REMOVE(&c->wait, cmd, link);
        nbd_command_free(c, cmd);
    }
    c->trimming_log = false;
}
