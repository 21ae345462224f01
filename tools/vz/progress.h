/* SPDX-License-Identifier: MIT */
/* What takes long: how far it is, and that a person may want it to stop. */
#ifndef VZ_TOOLS_PROGRESS_H
#define VZ_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* From now on SIGINT, SIGTERM and SIGHUP are remembered, and a second one ends the process. */
void interrupt_catch(void);
bool interrupt_came(void);
/* End as that signal does, if one came: when all is tidy. */
void interrupt_raise(void);

struct progress {
    const char *what;
    uint64_t start_ms, told_ms;
    uint64_t start_done; /* bytes that were there at the first progress_show(), as of a resumed download */
    bool began;
};

void progress_begin(struct progress *p, const char *what);
/* Bytes done, and in all (0: not known): from the first second on, on a terminal. Returns whether to go on:
 * false when a signal came. */
bool progress_show(struct progress *p, uint64_t done, uint64_t total);
/* The end of its line, if there is one. */
void progress_end(struct progress *p);

#endif
