/* SPDX-License-Identifier: MIT */
#include "block/nbd_dial.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/pass_fd.h"
#include "base/given_fd.h"
#include "block/nbd_connect.h"
#include "block/nbd_orders.h"

struct nbd_dial {
    int socket;              /* on which the answer comes */
    struct nbd_connect *own; /* of this process; or NULL */
};

static int have_made(struct nbd_dial *d, struct child *by, const struct nbd_uri *uri, bool maps, int end,
                     struct vz_error *err)
{
    struct nbd_order dial = {.kind = NBD_ORDER_DIAL, .maps = maps, .u.uri = *uri};
    int r;

    if (!by) {
        r = nbd_connect_start(uri, maps, end, &d->own);
        return r < 0 ? error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot connect: %s", strerror(-r)) : 0;
    }
    r = child_tell(by, &dial, NBD_ORDER_LEN(uri), end, err);
    close(end);
    return r;
}

int nbd_dial_start(struct child *by, const struct nbd_uri *uri, bool maps, struct nbd_dial **ret, struct vz_error *err)
{
    struct nbd_dial *d = calloc(1, sizeof(*d));
    int pair[2], r;

    if (!d || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        r = d ? errno : ENOMEM;
        free(d);
        return error_set(err, r, VZ_ERROR_NO_MEMORY, "cannot connect: %s", strerror(r));
    }
    d->socket = pair[0];
    r = have_made(d, by, uri, maps, pair[1], err);
    if (r < 0) {
        nbd_dial_abandon(d);
        return r;
    }
    *ret = d;
    return 0;
}

int nbd_dial_fd(const struct nbd_dial *d)
{
    return d->socket;
}

/* Whoever made it may have been taken over by a server. */
static bool is_connection(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);

    return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

static void take_export(const struct nbd_dialled *d, struct nbd_export *ret)
{
    *ret = (struct nbd_export){.size = d->size,
                               .block_min = d->block_min,
                               .block_preferred = d->block_preferred,
                               .payload_max = d->payload_max,
                               .read_only = d->can & NBD_READ_ONLY,
                               .can_flush = d->can & NBD_CAN_FLUSH,
                               .can_fua = d->can & NBD_CAN_FUA,
                               .can_trim = d->can & NBD_CAN_TRIM,
                               .can_zero = d->can & NBD_CAN_ZERO,
                               .can_multi = d->can & NBD_CAN_MULTI,
                               .can_map = d->can & NBD_CAN_MAP};
}

static void say_why(const struct child_answer *a, struct vz_error *err)
{
    enum vz_error_code code = a->code == VZ_ERROR_NBD_NEGOTIATION_FAILED ? VZ_ERROR_NBD_NEGOTIATION_FAILED
                                                                         : VZ_ERROR_NBD_DISCONNECTED;

    error_set(err, 0, code, "%.*s", (int)sizeof(a->text) - 1, a->text);
}

int nbd_dial_take(struct nbd_dial *d, struct nbd_export *ret, struct vz_error *err)
{
    struct nbd_dialled dialled;
    int fd;
    ssize_t n = pass_fd_receive(d->socket, &dialled, sizeof(dialled), &fd, MSG_DONTWAIT);

    if (n == (ssize_t)sizeof(dialled) && dialled.answer.result >= 0 && is_connection(fd)) {
        take_export(&dialled, ret);
    } else {
        if (n == (ssize_t)sizeof(dialled) && dialled.answer.result < 0)
            say_why(&dialled.answer, err);
        else
            error_set(err, 0, VZ_ERROR_NBD_DISCONNECTED, "the process that makes connections has ended");
        given_fd_close(fd);
        fd = -1;
    }
    nbd_dial_abandon(d);
    return fd;
}

void nbd_dial_abandon(struct nbd_dial *d)
{
    if (!d)
        return;
    close(d->socket);
    nbd_connect_let_go(d->own);
    free(d);
}
