/* SPDX-License-Identifier: MIT */
/* The console of a machine without a terminal: the ports whose attachment is "stdio". What the guest
 * writes goes into a file of the folder and to whoever is attached; what those type goes to the guest. */
#ifndef VZ_TOOLS_CONSOLE_HUB_H
#define VZ_TOOLS_CONSOLE_HUB_H

#include <poll.h>

#include "control/control.h"

#define CONSOLE_PEERS_MAX 16u
#define CONSOLE_FDS_MAX   (CONSOLE_PEERS_MAX + 2)

struct bundle;
struct vz_config;
struct console_hub;

/* Have the configuration's "stdio" lead here. NULL and err. */
struct console_hub *console_hub_new(struct vz_config *config, const struct bundle *b,
                                    struct vz_error *err);
/* Everything that the guest wrote is in the file then. The machine is gone. */
void console_hub_free(struct console_hub *h);

/* As server_poll() and server_serve(). */
unsigned console_hub_poll(struct console_hub *h, struct pollfd *p);
void console_hub_serve(struct console_hub *h, const struct pollfd *p, unsigned count);

#endif
