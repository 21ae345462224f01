/* SPDX-License-Identifier: MIT */
/* Machines that run before they are on stable storage. Making one durable takes the disk longer than starting it
 * does, so copies that start at once are published with a mark in the folder (a link that leads to the name of this
 * boot), and each one's process sees to its files and takes the mark away. After a loss of power before that, which
 * is known by the mark of another boot, something in the folder may be empty, or be there although it had been
 * removed (saved_file.h). What is empty then is told, and never removed but by a person: it may be all that is left
 * of something. */
#ifndef VZ_TOOLS_SETTLE_H
#define VZ_TOOLS_SETTLE_H

#include <pthread.h>

#include "bundle/bundle.h"

/* Mark a draft. -1 and err. */
int settle_mark(const struct bundle *b, struct vz_error *err);

enum settle_state {
    SETTLE_DONE,   /* it is not marked */
    SETTLE_MARKED, /* since this boot of the host */
    SETTLE_STALE,  /* since another one */
};
enum settle_state settle_state(int folder);

/* Put what is marked on stable storage, and unmark it: at once where it is not. -1 and err, and it stays marked. */
int settle_now(const struct bundle *b, struct vz_error *err);

/* The same on a thread, if it is marked. settle_end() waits for it. */
struct settling {
    const struct bundle *bundle;
    pthread_t thread;
    bool on;
};
void settle_begin(struct settling *s, const struct bundle *b);
void settle_end(struct settling *s);

/* Is it the folder of a machine that a loss of power left unfinished: stale, and a file without which it is none is
 * empty? */
bool settle_is_lost(int folder);

#endif
