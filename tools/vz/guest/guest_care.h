/* SPDX-License-Identifier: MIT */
/* What whoever runs a machine does for its guest, by the guest's agent and without being asked: a
 * thread beside the machine that
 *   - makes a copy of a machine another machine, at its first start (BUNDLE_IDENTITY);
 *   - sets the guest's clock when the guest has stood still: after a restore, a resume, the host's
 * sleep, and when the host's own clock was set;
 *   - mounts the shared directories that are to be mounted;
 *   - tells those who watch shared directories in the guest of changes that the host makes;
 *   - has the ports that programs of the guest open forwarded, where that is wanted.
 * A guest without an agent goes without these. */
#ifndef VZ_TOOLS_GUEST_CARE_H
#define VZ_TOOLS_GUEST_CARE_H

#include <stdbool.h>

#include <jansson.h>

#include "guest/agent_link.h"

struct guest_care;
struct vz_config;

struct guest_care_options {
    agent_connect_fn *connect; /* as for agent_link_by(), on the thread */
    void *arg;
    const char *name;            /* of the machine; for messages */
    const struct bundle *bundle; /* where BUNDLE_IDENTITY is looked for; NULL: nowhere */
    bool keeps;                  /* what the guest writes stays: a new identity is made once */
    /* The ports at which programs of the guest listen now, TCP and reachable from outside; an array
     * of numbers. On the thread, a few seconds after a change at the latest. NULL: nobody asks. */
    void (*ports)(void *arg, const json_t *ports);
    /* The machine's, for what is to be mounted, and watched; NULL: nothing. */
    const struct vz_config *config;
    bool mounted; /* somebody else sees to that */
    /* Nothing is done before there is something to read from it, or its other end is closed: guests that begin at once would keep each
     * other from it. Closed by guest_care_free(). -1, or 0, which is standard input: at once. */
    int after_fd;
};

/* Has the machine a socket device, by which an agent is reached? */
bool guest_care_possible(const struct vz_config *config);
/* All of what options point to outlives it. NULL without memory or threads. */
struct guest_care *guest_care_new(const struct guest_care_options *options);
/* The guest goes on after it stood still. Any thread; NULL is fine. */
void guest_care_went_on(struct guest_care *g);
/* Ask for ports from now on, or no more. Any thread. */
void guest_care_watch_ports(struct guest_care *g, bool watch);
/* The device of directories whose tag is tag has another share from now on, as the configuration has it; NULL: none.
 * Nothing is told any more of what was there before when this returns. Any thread; NULL is fine. */
void guest_care_share(struct guest_care *g, const char *tag, json_t *share);
/* After what connect connects to has been cut off, so that nothing waits for an answer. NULL is
 * fine. */
void guest_care_free(struct guest_care *g);

#endif
