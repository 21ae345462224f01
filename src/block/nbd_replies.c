/* SPDX-License-Identifier: MIT */
/* What a server answers: see nbd_link.h. Small replies come several at a time into a buffer; what is longer goes where
 * it belongs at once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/checked.h"
#include "block/nbd_link.h"
#include "block/nbd_wire.h"

#define BUFFER    (32 * KIB)
#define TURNS     16u        /* then others on the loop get one */
#define CHUNK_MAX (32 * MIB) /* bytes of a chunk that is not data */
#define FIXED_MAX 12u        /* bytes that a chunk begins with, of which something is known */

struct nbd_reader {
    size_t at, end; /* of what is in the buffer and has not been looked at */
    /* What comes next, if it is not a header: */
    struct nbd_command *cmd; /* of it; NULL: a header */
    uint8_t *to;             /* NULL: nowhere */
    size_t left;
    bool done; /* and that ends cmd */
    const char *why;
    uint8_t buffer[BUFFER];
};

struct nbd_reader *nbd_reader_new(void)
{
    struct nbd_reader *r = malloc(sizeof(*r));

    if (r)
        memset(r, 0, offsetof(struct nbd_reader, buffer));
    return r;
}

void nbd_reader_free(struct nbd_reader *r)
{
    free(r);
}

static int refuse(struct nbd_reader *r, const char *why)
{
    r->why = why;
    return -EPROTO;
}

/* ---- Commands ------------------------------------------------------------------------------- */

/* One that has been sent to its end; NULL: there is none. */
static struct nbd_command *find(const struct nbd_link *l, uint64_t cookie)
{
    struct nbd_command *c;

    TAILQ_FOREACH(c, &l->inflight, link) {
        if (c == l->unsent)
            return NULL;
        if (c->cookie == cookie)
            return c;
    }
    return NULL;
}

static void answer(struct nbd_link *l, struct nbd_command *c)
{
    TAILQ_REMOVE(&l->inflight, c, link);
    l->count--;
    TAILQ_INSERT_TAIL(l->answered, c, link);
}

/* The protocol's numbers are Linux'. */
static int error_of(uint32_t number)
{
    static const uint32_t known[] = {EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN};

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (number == known[i])
            return -(int)number;
    return number ? -EINVAL : 0;
}

/* len bytes of c follow. */
static void expect(struct nbd_reader *r, struct nbd_command *c, uint8_t *to, size_t len, bool done)
{
    r->cmd = c;
    r->to = to;
    r->left = len;
    r->done = done;
}

static bool reads(const struct nbd_command *c)
{
    return c->op == BLK_READ && !c->status;
}

/* What a read had not been answered would be whatever its memory held before. */
static int end_data(struct nbd_link *l, struct nbd_reader *r)
{
    struct nbd_command *c = r->cmd;

    r->cmd = NULL;
    if (!r->done)
        return 0;
    if (reads(c) && !c->err && c->came != c->len)
        return refuse(r, "the server answers a part of what it was asked");
    answer(l, c);
    return 0;
}

/* ---- Headers -------------------------------------------------------------------------------- */

static int take_simple(struct nbd_link *l, struct nbd_reader *r, const uint8_t *head)
{
    struct nbd_command *c = find(l, load_be64(head + 8));
    uint32_t number = load_be32(head + 4);

    if (!c || (c->status && !number))
        return refuse(r, "the server answers what it was not asked");
    c->err = error_of(number);
    r->at += NBD_SIMPLE_LEN;
    c->came = c->len;
    expect(r, c, c->data, reads(c) && !number ? c->len : 0, true);
    return 0;
}

/* A part of the data: does it lie in what was asked for, and is it not more than that with what came before? Parts that
 * lie over each other leave bytes out all the same: memory of ours has nothing in it then that a guest may not see. */
static bool take_part(struct nbd_command *c, uint64_t offset, uint64_t len)
{
    if (!reads(c) || offset < c->offset || offset - c->offset > c->len || len > c->len - (offset - c->offset) ||
        len > c->len - c->came)
        return false;
    if (c->own_data && !c->came && len && len < c->len)
        memset(c->data, 0, c->len);
    c->came += (uint32_t)len;
    return true;
}

static int take_data(struct nbd_reader *r, struct nbd_command *c, const uint8_t *body, uint32_t len, bool done)
{
    uint64_t offset = len < 8 ? UINT64_MAX : load_be64(body);

    if (len < 8 || !take_part(c, offset, len - 8))
        return refuse(r, "the server sends data that was not asked for");
    expect(r, c, c->data + (offset - c->offset), len - 8, done);
    return 0;
}

static int take_hole(struct nbd_reader *r, struct nbd_command *c, const uint8_t *body, uint32_t len, bool done)
{
    uint64_t offset = len == 12 ? load_be64(body) : UINT64_MAX;
    uint32_t size = len == 12 ? load_be32(body + 8) : 0;

    if (len != 12 || !take_part(c, offset, size))
        return refuse(r, "the server sends data that was not asked for");
    memset(c->data + (offset - c->offset), 0, size);
    expect(r, c, NULL, 0, done);
    return 0;
}

/* The first extent is what was asked for. */
static int take_status(struct nbd_reader *r, struct nbd_command *c, const uint8_t *body, uint32_t len, bool done)
{
    if (!c->status || len < 12)
        return refuse(r, "the server says what it was not asked");
    if (load_be32(body + 4))
        *c->status = (struct nbd_status){load_be32(body + 8) & NBD_STATUS_ZERO, MIN(load_be32(body + 4), c->len)};
    expect(r, c, NULL, len - 12, done);
    return 0;
}

static int take_error(struct nbd_reader *r, struct nbd_command *c, const uint8_t *body, uint32_t len, bool done)
{
    int err = len < 6 ? 0 : error_of(load_be32(body));

    if (!err)
        return refuse(r, "the server has an error that is none");
    c->err = c->err ? c->err : err;
    expect(r, c, NULL, len - 6, done);
    return 0;
}

/* How many bytes behind its header does the reader look at? */
static size_t fixed_len(uint16_t type, uint32_t len)
{
    size_t fixed = type & NBD_CHUNK_ERROR ? 6 : type == NBD_CHUNK_DATA ? 8 : type == NBD_CHUNK_NONE ? 0 : FIXED_MAX;

    return MIN(fixed, (size_t)len);
}

static int take_chunk_of(struct nbd_reader *r, struct nbd_command *c, const uint8_t *head)
{
    uint16_t type = load_be16(head + 6);
    uint32_t len = load_be32(head + 16);
    bool done = load_be16(head + 4) & NBD_CHUNK_DONE;
    const uint8_t *body = head + NBD_CHUNK_LEN;

    if (type != NBD_CHUNK_DATA && len > CHUNK_MAX)
        return refuse(r, "the server says too much at once");
    if (type & NBD_CHUNK_ERROR)
        return take_error(r, c, body, len, done);
    switch (type) {
    case NBD_CHUNK_NONE:
        expect(r, c, NULL, len, done);
        return len || !done ? refuse(r, "the server says nothing at length") : 0;
    case NBD_CHUNK_DATA: return take_data(r, c, body, len, done);
    case NBD_CHUNK_HOLE: return take_hole(r, c, body, len, done);
    case NBD_CHUNK_STATUS: return take_status(r, c, body, len, done);
    default: return refuse(r, "the server speaks of what is not known");
    }
}

/* 1: it has not come whole yet. */
static int take_chunk(struct nbd_link *l, struct nbd_reader *r, const uint8_t *head, size_t have)
{
    struct nbd_command *c;
    size_t fixed;
    int err;

    if (have < NBD_CHUNK_LEN)
        return 1;
    fixed = fixed_len(load_be16(head + 6), load_be32(head + 16));
    if (have < NBD_CHUNK_LEN + fixed)
        return 1;
    c = find(l, load_be64(head + 8));
    if (!c)
        return refuse(r, "the server answers what it was not asked");
    err = take_chunk_of(r, c, head);
    r->at += NBD_CHUNK_LEN + fixed;
    return err;
}

static int take_header(struct nbd_link *l, struct nbd_reader *r)
{
    const uint8_t *head = r->buffer + r->at;
    size_t have = r->end - r->at;

    if (have < NBD_SIMPLE_LEN)
        return 1;
    if (load_be32(head) == NBD_SIMPLE_MAGIC)
        return take_simple(l, r, head);
    return load_be32(head) == NBD_CHUNK_MAGIC ? take_chunk(l, r, head, have) : refuse(r, "the server talks nonsense");
}

/* ---- Bytes ---------------------------------------------------------------------------------- */

/* What has come is taken out of the buffer. 0: there is nothing more in it that is whole; or -errno. */
static int take_all(struct nbd_link *l, struct nbd_reader *r)
{
    int err = 0;

    while (!err) {
        size_t n = MIN(r->left, r->end - r->at);

        if (!r->cmd) {
            err = take_header(l, r);
            continue;
        }
        if (r->to && n) {
            memcpy(r->to, r->buffer + r->at, n);
            r->to += n;
        }
        r->at += n;
        r->left -= n;
        if (r->left)
            break;
        err = end_data(l, r);
    }
    return MIN(err, 0);
}

/* Bytes, 0: it was not all that there was room for; or -errno. */
static int receive(struct nbd_link *l, struct nbd_reader *r)
{
    struct iovec iov[2];
    unsigned count = 0;
    size_t direct = r->cmd && r->to ? r->left : 0, room;
    struct msghdr msg = {.msg_iov = iov};
    ssize_t n;

    memmove(r->buffer, r->buffer + r->at, r->end - r->at);
    r->end -= r->at;
    r->at = 0;
    room = BUFFER - r->end;
    if (direct)
        iov[count++] = (struct iovec){r->to, direct};
    iov[count++] = (struct iovec){r->buffer + r->end, room};
    msg.msg_iovlen = count;
    n = recvmsg(l->socket, &msg, MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        r->why = strerror(errno);
        return -errno;
    }
    if (!n) {
        r->why = "the connection was closed";
        return -ENOTCONN;
    }
    n = MAX(n, 0);
    if (direct) {
        size_t got = MIN(direct, (size_t)n);

        r->to += got;
        r->left -= got;
        n -= (ssize_t)got;
        r->end += (size_t)n;
        return got == direct && (size_t)n == room;
    }
    r->end += (size_t)n;
    return (size_t)n == room;
}

int nbd_reader_turn(struct nbd_link *l, const char **ret_why)
{
    struct nbd_reader *r = l->reader;
    int more = 1, err = 0;

    for (unsigned i = 0; more > 0 && !err && i < TURNS; i++) {
        more = receive(l, r);
        err = more < 0 ? more : take_all(l, r);
    }
    *ret_why = r->why;
    return err;
}
