/* SPDX-License-Identifier: MIT */
/* The listening end of the control socket: clients, their requests, answers and events. */
#ifndef VZ_TOOLS_CONTROL_SERVER_H
#define VZ_TOOLS_CONTROL_SERVER_H

#include <poll.h>

#include "control/control.h"

#define SERVER_CLIENTS_MAX 64u
#define SERVER_FDS_MAX     (SERVER_CLIENTS_MAX + 1)

struct server;

/* Listen in the bundle's folder, in place of a socket that a crash left there: the caller has the
 * lock. NULL and err. */
struct server *server_new(struct control *c, const struct bundle *b, struct vz_error *err);
/* The socket goes, clients are hung up on after a moment for what they have not read. */
void server_free(struct server *s, const struct bundle *b);

/* For poll(): fills in up to SERVER_FDS_MAX, and returns how many; then what came of them. */
unsigned server_poll(struct server *s, struct pollfd *p);
void server_serve(struct server *s, const struct pollfd *p, unsigned count);

void server_tell(struct server *s, const char *name, json_t *members);

#endif
