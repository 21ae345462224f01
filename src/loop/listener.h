/* SPDX-License-Identifier: MIT */
/* Sockets that listen: connections are taken as they come, many a turn, and a host that has no
 * descriptor left for one is asked again a little later instead of at once and for ever, which a
 * level-triggered descriptor would have us do. Loop thread, or before loop_run(). */
#ifndef VZ_LOOP_LISTENER_H
#define VZ_LOOP_LISTENER_H

#include "base/compiler.h"

struct loop;
struct loop_listener;

/* Connections that may wait to be taken; the kernel lowers it to net.core.somaxconn. */
#define LISTENER_BACKLOG 4096

/* Call fn(arg, fd) for each connection to listen_fd, which stays the caller's and is made not to
 * block. fd does not block either, is closed on exec, and is fn's to close. fn may close the
 * listener. Not yet switched on: loop_listener_set(). 0 or -errno. */
int loop_listener_create(struct loop *loop, int listen_fd, void (*fn)(void *arg, int fd), void *arg,
                         struct loop_listener **ret) must_check;
/* Take connections, or let them wait. */
void loop_listener_set(struct loop_listener *l, bool on);
/* fn is not called again. NULL is fine. */
void loop_listener_destroy(struct loop_listener *l);

#endif
