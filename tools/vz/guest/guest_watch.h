/* SPDX-License-Identifier: MIT */
/* Changes of the host's in shared directories, told to those who watch them in the guest: its agent says which folders are
 * watched there, a thread here watches them on the host, and what others than this process change is told back. */
#ifndef VZ_TOOLS_GUEST_WATCH_H
#define VZ_TOOLS_GUEST_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>

#include <jansson.h>

#include <vz/agent.h>

struct guest_watch;

/* Are there directories that somebody could watch? devices: guest_shares() of the machine; may be NULL. */
bool guest_watch_possible(const json_t *devices);
/* The agent outlives it. NULL where there is nothing to watch, the host or the agent cannot, or out of memory. name: of
 * the machine, for messages; outlives it, as changes. devices: likewise, and nobody changes them. When changes is
 * another number than now, they are not what is shared any more, and nothing is told. */
struct guest_watch *guest_watch_new(struct vz_agent *agent, json_t *devices, const atomic_uint *changes,
                                    const char *name);
/* Has the agent's part of it ended, whatever ended it? Then another is worth a try. */
bool guest_watch_is_over(const struct guest_watch *w); /* NULL: false */
void guest_watch_free(struct guest_watch *w); /* NULL is fine */

#endif
