/* SPDX-License-Identifier: MIT */
/* The agent in the guest of a machine that runs in the background. */
#ifndef VZ_TOOLS_AGENT_LINK_H
#define VZ_TOOLS_AGENT_LINK_H

#include <vz/agent.h>

#include "bundle/bundle.h"

#define LINK_AUTOMATIC (-1) /* a minute for a guest that has just started, else a moment */
#define LINK_FOREVER   INT32_MAX

/* Connect, waiting so long for a guest that is not up yet, or that is still being made another one than that which it was
 * copied from (agent_link_settle()); from the first second on a terminal is told.
 * NULL and err ("NAME: ..."): VZ_ERROR_INVALID_STATE: it does not run; *ret_late: it was a matter of time. May
 * be NULL. */
struct vz_agent *agent_link(const struct bundle *b, int wait_ms, bool *ret_late, struct vz_error *err);

/* Wait up to wait_ms, and a while at most, until a running copy's guest has an identity of its own. */
void agent_link_settle(const struct bundle *b, int wait_ms);

/* After it stood still: set the guest's clock, if it has an agent; others find out by themselves, or by NTP. */
void agent_link_set_clock(const struct bundle *b);

/* An agent_connect_fn whose arg is a struct bundle: by the control socket of the machine's process. */
int agent_link_connect(void *bundle, struct vz_error *err);

/* The same for one that the program has in itself: connect_fd gets a descriptor from it, or -1. */
typedef int agent_connect_fn(void *arg, struct vz_error *err);
struct vz_agent *agent_link_by(agent_connect_fn *connect_fd, void *arg, const char *name, int wait_ms,
                               bool *ret_late, struct vz_error *err);

#endif
