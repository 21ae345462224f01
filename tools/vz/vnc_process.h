/* SPDX-License-Identifier: MIT */
/* The process that shows a machine's display to VNC clients and browsers (vz-vnc, vnc/): listening, passwords, TLS and
 * LibVNCServer are there, and nothing of it is in the one that runs the guest, which hands out channels to the display.
 * When it ends, viewers are gone, and the machine goes on. It is not started again: what made it end would again, and a
 * machine's process starts no program once it is locked.
 *
 * A thread answers it. All functions are for one thread at a time. */
#ifndef VZ_TOOLS_VNC_PROCESS_H
#define VZ_TOOLS_VNC_PROCESS_H

#include <stdbool.h>

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

/* A new address for one browser, in a file in memory: JSON with address, password, url. It listens from then on. -1 and
 * err. */
int vnc_process_view(struct vnc_process *p, struct vz_error *err);

#endif
