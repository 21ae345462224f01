/* SPDX-License-Identifier: MIT */
#ifndef VZ_TOOLS_SSH_PORT_H
#define VZ_TOOLS_SSH_PORT_H

#include "bundle/bundle.h"

/* A port of 127.0.0.1 that leads to port 22 of a running machine's guest: one that is forwarded, or
 * a free one, which is forwarded until the machine ends. -1 and err. */
int ssh_port(const struct bundle *b, struct vz_error *err);

#endif
