/* SPDX-License-Identifier: MIT */
/* How vz's commands talk to a running machine: over its control socket, one request at a time. */
#ifndef VZ_TOOLS_CLIENT_H
#define VZ_TOOLS_CLIENT_H

#include <stdbool.h>

#include <jansson.h>

#include <vz/error.h>

struct bundle;

struct control_client {
    int fd;
    int last_id;
    int came_fd; /* came with the line that is read; -1: none */
    int send_fd; /* goes with the next request, and stays the caller's; -1: none */
    char *in;    /* what came and is no whole line yet */
    size_t in_len, in_size;
};

/* Connect to a machine's process. -1 and err: VZ_ERROR_INVALID_STATE when the machine does not run. */
int client_open(const struct bundle *b, struct control_client *ret, struct vz_error *err);
void client_close(struct control_client *c);
/* From now on an answer that takes longer is none: VZ_ERROR_NETWORK. */
void client_set_timeout(struct control_client *c, int timeout_ms);

/* Ask, and wait for the answer; events that come meanwhile are dropped. params: taken; NULL: none.
 * Returns the result, a reference; or NULL and err: VZ_ERROR_NETWORK when the process ends meanwhile.
 * ret_fd: the descriptor that came along, or -1; NULL: none is expected. */
json_t *client_call(struct control_client *c, const char *method, json_t *params, int *ret_fd,
                    struct vz_error *err);

/* client_open(), one call, client_close(). */
json_t *client_ask(const struct bundle *b, const char *method, json_t *params, int *ret_fd,
                   struct vz_error *err);

/* Wait until nobody runs the machine, at most timeout_ms (-1: any time). Returns whether so. */
bool client_wait_end(const struct bundle *b, int timeout_ms);

#endif
