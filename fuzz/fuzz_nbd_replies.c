/* SPDX-License-Identifier: MIT */
/* A hostile NBD server, on a connection that is there: the input says what it is asked, and is what it answers. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "no_check.h"

#include "block/nbd_link.h"
#include "block/nbd_wire.h"
#include "fake_loop.h"
#include "fuzz.h"
#include "fuzz_input.h"

#define COMMANDS 8u
#define LEN_MAX  200u
#define GUARD    0xc3

struct command {
    struct nbd_command c;
    struct nbd_status status;
    uint8_t before[16], data[LEN_MAX], after[16];
};

static void turned(void *arg) {}

static void ask(struct nbd_link *l, struct command *c, struct input *in)
{
    unsigned what = (unsigned)take(in, 1);

    memset(c, GUARD, sizeof(*c));
    c->c = (struct nbd_command){.op = (enum blk_op)(what % 5), .offset = 4096, .len = 1 + (uint32_t)take(in, 1) % LEN_MAX,
                                .data = c->data, .status = what & 128 ? &c->status : NULL};
    nbd_link_send(l, &c->c);
}

static bool is_guarded(const struct command *c)
{
    for (unsigned i = 0; i < sizeof(c->before); i++)
        if (c->before[i] != GUARD || c->after[i] != GUARD)
            return false;
    for (size_t i = c->c.op == BLK_READ && !c->c.status ? c->c.len : 0; i < sizeof(c->data); i++)
        if (c->data[i] != GUARD)
            return false;
    return true;
}

static void hang_up(struct nbd_link *l, int server, struct nbd_commands *rest)
{
    TAILQ_INIT(rest);
    nbd_link_close(l, rest);
    close(server);
}

/* Replies that fit, now and then, so that one gets behind their headers: a cookie is small, and a length too. */
static void reply(int server, struct input *in)
{
    static uint8_t bytes[NBD_CHUNK_LEN + 256];
    unsigned kind = (unsigned)take(in, 1);
    size_t len = take(in, 1), given, head = 0;

    memset(bytes, 0, sizeof(bytes));
    if (kind & 1) {
        store_be32(bytes, kind & 2 ? NBD_CHUNK_MAGIC : NBD_SIMPLE_MAGIC);
        store_be16(bytes + 4, kind & 2 ? take(in, 1) & 1 : 0);
        store_be16(bytes + 6, (kind & 2 ? take(in, 1) % 8 : 0) | (kind & 4 ? 1u << 15 : 0));
        store_be64(bytes + 8, take(in, 1) % (COMMANDS + 2));
        head = kind & 2 ? NBD_CHUNK_LEN : NBD_SIMPLE_LEN;
        store_be32(bytes + 16, kind & 2 ? (uint32_t)len : 0);
        if (kind & 8)
            store_be64(bytes + head, 4096 + take(in, 1) % 64);
    }
    given = MIN(len, in->len);
    if (!(kind & 8))
        memcpy(bytes + head, in->p, given);
    in->p += given;
    in->len -= given;
    (void)!send(server, bytes, head + len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct command c[COMMANDS];
    struct input in = {data, size};
    struct nbd_commands answered, rest;
    struct nbd_command *cmd;
    struct nbd_link l;
    struct loop *loop;
    unsigned count = 0;
    int pair[2];

    require(loop_create(&loop) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "a connection");
    TAILQ_INIT(&answered);
    nbd_link_init(&l, loop, &answered, turned, NULL);
    l.socket = pair[0];
    l.state = NBD_LINK_READY;
    l.reader = nbd_reader_new();
    require(l.reader != NULL, "memory");
    for (unsigned i = 0; i < COMMANDS; i++)
        ask(&l, &c[i], &in);
    nbd_link_push(&l);
    for (unsigned i = 0; i < 64 && in.len && l.state == NBD_LINK_READY; i++) {
        reply(pair[1], &in);
        nbd_link_turn(&l, POLLIN);
    }
    TAILQ_FOREACH(cmd, &answered, link)
        count++;
    require(count + l.count == COMMANDS, "each is answered once, or not");
    hang_up(&l, pair[1], &rest);
    TAILQ_FOREACH(cmd, &rest, link)
        count++;
    require(count == COMMANDS, "none is lost");
    for (unsigned i = 0; i < COMMANDS; i++)
        require(is_guarded(&c[i]), "data is where it was asked for");
    loop_destroy(loop);
    return 0;
}

/* A read and what answers it: simple, in a chunk, by a hole, by an error; and a status. */
size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    static const uint8_t replies[][8] = {
        {1, 64, 1}, {1 | 2 | 8, 12, 1, 1, 1, 0}, {1 | 2 | 8, 12, 1, 2, 1, 8}, {1 | 2 | 4, 6, 1, 1, 1, 0, 0, 5},
        {1 | 2, 12, 1, 5, 1}, {0, 200, 0x67, 0x44, 0x66, 0x98}};
    size_t len = 2 * COMMANDS + sizeof(replies[0]) + 200;

    if (index >= ARRAY_SIZE(replies) || room < len)
        return 0;
    memset(ret, 0, len);
    for (unsigned i = 0; i < COMMANDS; i++)
        ret[2 * i] = (uint8_t)(index == 4 ? 128 : i % 5);
    for (unsigned i = 0; i < COMMANDS; i++)
        ret[2 * i + 1] = 63;
    memcpy(ret + 2 * COMMANDS, replies[index], sizeof(replies[0]));
    return len;
}
