/* SPDX-License-Identifier: MIT */
#include "loop/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "loop/loop.h"

#define PER_EVENT 64u /* then others on the loop have a turn */
#define PAUSE_NS  (NS_PER_SEC / 10)

struct loop_listener {
    int fd;
    struct loop_fd *watch;
    struct loop_timer *timer;
    void (*fn)(void *arg, int fd);
    void *arg;
    bool on, warned;
    bool busy, destroyed; /* in fn; by fn, so that on_event() is to free it */
};

/* Not this connection's fault, and not over at once. */
static bool is_shortage(int err)
{
    return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS;
}

static void rest(struct loop_listener *l, int err)
{
    if (!l->warned)
        log_warn("a connection has to wait: %s", strerror(err));
    l->warned = true;
    loop_fd_set(l->watch, 0);
    loop_timer_arm(l->timer, clock_mono_ns() + PAUSE_NS);
}

static void on_timer(void *arg)
{
    struct loop_listener *l = arg;

    loop_fd_set(l->watch, l->on ? LOOP_READ : 0);
}

static void on_event(void *arg, unsigned events)
{
    struct loop_listener *l = arg;

    l->busy = true;
    for (unsigned i = 0; i < PER_EVENT && l->on; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            l->fn(l->arg, fd);
        } else if (errno != ECONNABORTED && errno != EINTR) {
            if (is_shortage(errno))
                rest(l, errno);
            break;
        }
    }
    l->busy = false;
    if (l->destroyed)
        free(l);
}

int loop_listener_create(struct loop *loop, int listen_fd, void (*fn)(void *arg, int fd), void *arg,
                         struct loop_listener **ret)
{
    struct loop_listener *l = calloc(1, sizeof(*l));
    int r;

    if (!l)
        return -ENOMEM;
    *l = (struct loop_listener){.fd = listen_fd, .fn = fn, .arg = arg};
    (void)fcntl(listen_fd, F_SETFL, fcntl(listen_fd, F_GETFL) | O_NONBLOCK);
    r = loop_fd_add(loop, listen_fd, 0, on_event, l, &l->watch);
    if (!r)
        r = loop_timer_create(loop, on_timer, l, &l->timer);
    if (r < 0)
        loop_listener_destroy(l);
    else
        *ret = l;
    return r;
}

void loop_listener_set(struct loop_listener *l, bool on)
{
    l->on = on;
    loop_fd_set(l->watch, on ? LOOP_READ : 0);
}

void loop_listener_destroy(struct loop_listener *l)
{
    if (!l)
        return;
    loop_fd_remove(l->watch);
    loop_timer_destroy(l->timer);
    l->on = false;
    l->destroyed = true;
    if (!l->busy)
        free(l);
}
