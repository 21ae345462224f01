/* SPDX-License-Identifier: MIT */
/* A relay whose connection ends, by a libnbd that is none. */
#include "block/nbd_relay.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "block/nbd_library.h"
#include "block/nbd_wire.h"
#include "unit.h"

/* What libnbd's handle is here. */
struct nbd_handle {
    int server;
    unsigned asked;
    bool dead;
};

static unsigned direction(struct nbd_handle *h)
{
    return LIBNBD_AIO_DIRECTION_READ;
}

static int server_fd(struct nbd_handle *h)
{
    return h->server;
}

static int is_dead(struct nbd_handle *h)
{
    return h->dead;
}

static int is_ready(struct nbd_handle *h)
{
    return !h->dead;
}

static int is_closed(struct nbd_handle *h)
{
    return 0;
}

static int die(struct nbd_handle *h)
{
    h->dead = true;
    return -1;
}

/* As libnbd does in any state but those that it wants: EINVAL. */
static int64_t refuse(struct nbd_handle *h, void *data, size_t len, uint64_t offset, nbd_completion_callback done,
                      uint32_t flags)
{
    h->asked++;
    done.free(done.user_data);
    return -1;
}

static int is_invalid(void)
{
    return EINVAL;
}

static int leave(struct nbd_handle *h, uint32_t flags)
{
    return 0;
}

static void forget(struct nbd_handle *h)
{
}

/* It would be an error of the disk's for the guest, though another connection may well have an answer. */
START_TEST(a_request_that_comes_with_the_end_is_not_answered)
{
    uint8_t head[NBD_REQUEST_LEN], reply[NBD_SIMPLE_LEN];
    struct nbd_handle h = {0};
    int plain[2], server[2];

    libnbd = (struct nbd_library){.aio_get_direction = direction, .aio_get_fd = server_fd, .aio_is_dead = is_dead,
                                  .aio_is_ready = is_ready, .aio_is_closed = is_closed, .aio_notify_read = die,
                                  .aio_pread = refuse, .get_errno = is_invalid, .aio_disconnect = leave,
                                  .close = forget};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, plain), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, server), 0);
    nbd_put_request(head, &(struct nbd_request){.type = NBD_READ, .cookie = 1, .len = 512});
    ck_assert_int_eq(send(plain[0], head, sizeof(head), 0), sizeof(head));
    close(server[1]);
    h.server = server[0];
    nbd_relay(&h, plain[1]);
    ck_assert_uint_eq(h.asked, 0);
    ck_assert_int_eq(recv(plain[0], reply, sizeof(reply), MSG_DONTWAIT), -1);
    ck_assert_int_eq(errno, EAGAIN);
    close(plain[0]);
    close(plain[1]);
    close(server[0]);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_request_that_comes_with_the_end_is_not_answered);
}

UNIT_TEST_MAIN("nbd_relay", add_tests)
