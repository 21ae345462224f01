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
struct vz_config;

/* Has the machine directories that somebody could watch? config may be NULL. */
bool guest_watch_possible(const struct vz_config *config);
/* The agent outlives it. NULL where there is nothing to watch, the host or the agent cannot, or out of memory. name: of
 * the machine, for messages; outlives it, as changes. devices: the configuration's directory sharing devices, as JSON
 * that nobody changes. When changes is another number than now, they are not what is shared any more, and nothing is
 * told. */
struct guest_watch *guest_watch_new(struct vz_agent *agent, json_t *devices, const atomic_uint *changes,
                                    const char *name);
void guest_watch_free(struct guest_watch *w); /* NULL is fine */

#endif
