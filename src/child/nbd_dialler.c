/* SPDX-License-Identifier: MIT */
/* The program of a process that makes connections to NBD servers (block/nbd_child.h). It locks itself before the first
 * one: what a server says is read by threads that open what names and TLS want, and nothing else. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/pass_fd.h"
#include "base/log.h"
#include "block/nbd_connect.h"
#include "block/nbd_library.h"
#include "block/nbd_orders.h"
#include "block/nbd_places.h"
#include "block/nbd_trust.h"
#include "sandbox/sandbox.h"
#include "sandbox/sandbox_calls.h"
#include "sandbox/sandbox_process.h"
#include "sandbox/sandbox_world.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static struct nbd_order_start start;
static struct sandbox sandbox;
static bool locked;

/* ---- Open, then lock ------------------------------------------------------------------------ */

static int allow(void *arg, const char *path)
{
    return sandbox_allow(arg, SANDBOX_KIND(NBD), path, false);
}

static int prepare(void)
{
    const struct sandbox_options o = {.mode = start.logs ? SANDBOX_LOG : SANDBOX_ON,
                                      .process = !start.logs,
                                      .is_child = true,
                                      .features = SANDBOX_NET | SANDBOX_NBD,
                                      .uid = start.uid,
                                      .gid = start.gid};
    int r = sandbox_init(&sandbox, &o, NULL);

    return r ? r : nbd_places_of_names(allow, &sandbox);
}

static int lock(void)
{
    int r;

    if (!start.locks || locked)
        return 0;
    r = sandbox_process_lock(&sandbox, THREAD_NBD, SANDBOX_OWN_IPC | SANDBOX_OWN_NAME | SANDBOX_OWN_CGROUP,
                             "connections to NBD servers are made by");
    locked = !r;
    return r;
}

/* ---- Orders --------------------------------------------------------------------------------- */

static void end_text(char *text, size_t size)
{
    text[size - 1] = '\0';
}

/* Whatever came, it ends. */
static const struct nbd_uri *uri_of(struct nbd_order *o)
{
    struct nbd_uri *u = &o->u.uri;

    end_text(u->host, sizeof(u->host));
    end_text(u->port, sizeof(u->port));
    end_text(u->socket, sizeof(u->socket));
    end_text(u->user, sizeof(u->user));
    end_text(u->certificates, sizeof(u->certificates));
    end_text(u->psk_file, sizeof(u->psk_file));
    end_text(u->export, sizeof(u->export));
    return u;
}

static void say(int fd, const void *data, size_t len)
{
    if (pass_fd_send(fd, data, len, -1, MSG_DONTWAIT) < 0)
        log_debug("whoever asked has gone");
}

/* caller is taken over. */
static void dial(const struct nbd_uri *uri, bool maps, int caller)
{
    struct nbd_dialled d = {.answer = {.result = -EIO, .code = VZ_ERROR_NBD_DISCONNECTED}};
    struct nbd_connect *c;
    struct vz_error err = {0};

    if (nbd_library_load(&err) < 0)
        snprintf(d.answer.text, sizeof(d.answer.text), "%s", err.text);
    else if (start.locks && !locked)
        snprintf(d.answer.text, sizeof(d.answer.text), "the process for it has not been locked");
    if (d.answer.text[0]) {
        say(caller, &d, sizeof(d));
        close(caller);
    } else if (nbd_connect_start(uri, maps, caller, &c) == 0) {
        nbd_connect_leave(c);
    }
}

/* A server that the configuration names: what its connections want will be there. */
static void know(const struct nbd_uri *uri)
{
    if (uri->socket[0])
        sandbox.options.features |= SANDBOX_LOCAL;
    nbd_trust_prepare(uri);
    (void)!nbd_places_of_server(uri, allow, &sandbox); /* libnbd says what it cannot open */
}

static void answer_lock(void)
{
    const struct child_answer a = {.result = lock(), .code = VZ_ERROR_INTERNAL, .text = "it cannot be locked"};

    say(CHILD_SOCKET, &a, sizeof(a));
}

/* fd, if there is one, is taken over. */
static void carry_out(struct nbd_order *o, size_t len, int fd)
{
    bool has_uri = len == NBD_ORDER_LEN(uri);

    if (o->kind == NBD_ORDER_LOCK)
        answer_lock();
    else if (o->kind == NBD_ORDER_KNOW && has_uri && start.locks && !locked)
        know(uri_of(o));
    if (o->kind == NBD_ORDER_DIAL && has_uri && fd >= 0)
        dial(uri_of(o), o->maps, fd);
    else if (fd >= 0)
        close(fd);
}

static bool receive(struct nbd_order *o, size_t *ret_len, int *ret_fd)
{
    ssize_t n = pass_fd_receive(CHILD_SOCKET, o, sizeof(*o), ret_fd, 0);

    *ret_len = n > 0 ? (size_t)n : 0;
    return n >= (ssize_t)offsetof(struct nbd_order, u);
}

static bool begin(void)
{
    static struct nbd_order o;
    size_t len;
    int fd;

    if (!receive(&o, &len, &fd) || o.kind != NBD_ORDER_START || len != NBD_ORDER_LEN(start))
        return false;
    start = o.u.start;
    start.locks = start.locks && !VZ_SANITIZED; /* a sanitizer watches over a process' files and memory from within it */
    if (nbd_library_load(NULL) < 0)
        log_debug("whoever needs libnbd is told then"); /* with the reason */
    return !start.locks || (sandbox_process_begin() == 0 && prepare() == 0);
}

int main(void)
{
    static struct nbd_order o;
    struct pollfd p[] = {{.fd = CHILD_LIFE, .events = POLLIN}, {.fd = CHILD_SOCKET, .events = POLLIN}};
    size_t len;
    int fd;

    prctl(PR_SET_NAME, "vz-nbd", 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, 0);
    if (!begin())
        return 1;
    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            _exit(1);
        if (p[0].revents || (p[1].revents && !receive(&o, &len, &fd)))
            _exit(0);
        if (p[1].revents)
            carry_out(&o, len, fd);
    }
}
