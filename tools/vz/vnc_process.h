/* SPDX-License-Identifier: MIT */
/* The process that shows a machine's display to VNC clients and browsers (vz-vnc, vnc/): listening, passwords, TLS and
 * LibVNCServer are there, and nothing of it is in the one that runs the guest, which hands out channels to the display.
 * When it ends, viewers are gone, and the machine goes on. It is not started again: what made it end would again, and a
 * machine's process starts no program once it is locked.
 *
 * It may have been taken over by a viewer: it is waited for by nobody whom others wait for, and what it says is bounded and
 * checked. A thread answers it. All functions are for one thread at a time. */
#ifndef VZ_TOOLS_VNC_PROCESS_H
#define VZ_TOOLS_VNC_PROCESS_H

#include <stdbool.h>

struct pollfd;
struct vnc_process;
struct vz_error;
struct vz_machine;

/* NULL: as in struct vnc_options (vnc/vnc_server.h). */
struct vnc_process_options {
    struct vz_machine *machine; /* is live, and outlives it */
    const char *name;           /* the machine's, for clients */
    bool listens;               /* at once, and says on standard error where, and with what password */
    const char *address;
    const char *password_file;  /* its first line; "-": standard input's */
    bool tls;
    const char *certificate, *key;
};

/* Start it. NULL and err. */
struct vnc_process *vnc_process_new(const struct vnc_process_options *options, struct vz_error *err);
/* All clients are hung up on. NULL is fine. */
void vnc_process_free(struct vnc_process *p);

/* fd: a file in memory, which is taken: JSON with address, password, url. -1: err says why there is none. */
typedef void vnc_view_fn(void *arg, int fd, const struct vz_error *err);

/* A new address for one browser; it listens from then on. done is called once: by this, by vnc_process_serve() or by
 * vnc_process_free(). */
void vnc_process_view(struct vnc_process *p, vnc_view_fn *done, void *arg);

/* For poll(): what to wait for (p may be NULL), and how long at most; timeout_ms, or less. -1: for ever. And then, whatever came
 * of it. */
int vnc_process_poll(const struct vnc_process *p, struct pollfd *ret, int timeout_ms);
void vnc_process_serve(struct vnc_process *p, const struct pollfd *polled);

#endif
