/* SPDX-License-Identifier: MIT */
/* A machine's own process, which lives as long as the machine runs. */
#ifndef VZ_TOOLS_PROCESS_H
#define VZ_TOOLS_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include <vz/error.h>

struct bundle;

struct process_manner { /* all 0: as ever */
    char *passphrase; /* of what is saved in the folder; NULL: none. The machine's process wipes its copy */
    int after_fd; /* guest_care.h's; the process has a descriptor of its own. 0: none */
};

/* Run the machine in a process of its own, in the background, without a terminal. b is locked
 * (BUNDLE_RUN): the lock goes along with the process. Returns 0 when the machine runs; or -1 and err
 * when it does not, and there is no process then. The caller has one thread. */
int process_start(struct bundle *b, const struct process_manner *how, struct vz_error *err);

/* The same in two steps, so that several start at once. */
struct process_starting {
    const struct bundle *bundle;
    pid_t pid;
    int fd;
};
int process_begin(struct bundle *b, const struct process_manner *how, struct process_starting *ret, struct vz_error *err);
/* Wait for it: once for each that began. */
int process_wait_started(const struct process_starting *s, struct vz_error *err);

/* The same in this process, until the machine ends; for who watches over it (systemd). It has started
 * when ready() is called. Returns an exit status, after cli_error(). */
int process_run(struct bundle *b, void (*ready)(void *arg), void *arg);

#endif
