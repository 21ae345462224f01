/* SPDX-License-Identifier: MIT */
/* What is known of a machine's last run: when it began and how it ended, in its folder. A run that
 * began, has not ended, and whose lock nobody holds, was killed. */
#ifndef VZ_TOOLS_LAST_RUN_H
#define VZ_TOOLS_LAST_RUN_H

#include <jansson.h>

struct bundle;
struct vz_machine_end;

/* Failures are told by cli_error(): they are no reason not to run. */
void last_run_began(const struct bundle *b);
void last_run_ended(const struct bundle *b, const struct vz_machine_end *end);

/* {"reason": "poweroff", "text": "..."} */
json_t *last_run_json(const struct vz_machine_end *end);

/* What the file has: {"began": TIME, "ended": TIME, "reason": ..., ...}; NULL: nothing. */
json_t *last_run_load(const struct bundle *b);

/* As the exit status of a command that waited for the end: 0, 1 or 3. */
int last_run_status(const json_t *end);

#endif
