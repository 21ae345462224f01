/* SPDX-License-Identifier: MIT */
/* The agent's loop. */
#ifndef VZ_AGENT_GUEST_H
#define VZ_AGENT_GUEST_H

#include "job.h"

/* Prepare to hear of processes that end. 0 or -1 with errno. */
int guest_open(struct guest *g) must_check;
/* Serve whoever connects; without a listener: until its connection and all its jobs have ended. */
void guest_run(struct guest *g);
/* One turn of it, for at most so long (-1: until something happens). */
void guest_turn(struct guest *g, int timeout_ms);

#endif
