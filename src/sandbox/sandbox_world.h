/* SPDX-License-Identifier: MIT */
/* Namespaces: what a process of ours sees of the host becomes empty, where the host allows that. With CAP_SYS_ADMIN, or
 * by a user namespace of its own. user_namespaces(7). */
#ifndef VZ_SANDBOX_SANDBOX_WORLD_H
#define VZ_SANDBOX_SANDBOX_WORLD_H

#include "base/compiler.h"

enum sandbox_world {
    SANDBOX_OWN_USERS = 1 << 0,     /* rights that it may get are none of the host's */
    SANDBOX_OWN_PROCESSES = 1 << 1, /* the next child is the first process, and sees no other */
    SANDBOX_OWN_FILES = 1 << 2,     /* an empty folder that nobody can write is all there is */
    SANDBOX_OWN_IPC = 1 << 3,
    SANDBOX_OWN_NAME = 1 << 4, /* of the host */
    SANDBOX_OWN_CGROUP = 1 << 5,
    SANDBOX_OWN_NETWORK = 1 << 6, /* without an interface that is up */
};

/* Of a process with one thread: a user namespace where that is needed for the rest, and if it is to make processes, and
 * no threads, one for those. What it has: enum sandbox_world. None where it would lose a right that it has, of binding
 * to low ports. */
unsigned sandbox_world_begin(bool processes);

/* Of the calling thread, and of those that it makes: files, and the rest, of those that are wanted. What it has of
 * them. */
unsigned sandbox_world_empty(unsigned wanted);

/* What this host allows a child of this process, all together. */
unsigned sandbox_world_try(void);

/* "users, processes, files" or "none". */
void sandbox_world_text(unsigned world, char ret[80]);

#endif
