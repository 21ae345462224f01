/* SPDX-License-Identifier: MIT */
/* What `vz run` does of --view: vz-view is started, and hears and says over a socket what it would with the process of
 * a machine in the background (docs/control.md), as far as it needs. */
#ifndef VZ_TOOLS_RUN_VIEW_H
#define VZ_TOOLS_RUN_VIEW_H

#include <stdbool.h>

#include <vz/error.h>
#include <vz/machine.h>

struct run_view;

struct run_view_options {
    const char *name; /* of the machine, for people */
    bool saves;       /* there is a --save */
};

/* Before the machine is made: is all there that a window needs? NULL and err. */
struct run_view *run_view_new(const struct run_view_options *options, struct vz_error *err);
/* The machine runs, or is about to be restored: show it. 0, or -1 and err. */
int run_view_open(struct run_view *v, struct vz_machine *machine, struct vz_error *err);
/* The delegate's word. Any thread, and from run_view_new() on. */
void run_view_state(struct run_view *v, enum vz_machine_state state);
/* It is being saved, and restored: each a vz_machine_progress_fn. */
void run_view_progress(void *view, struct vz_machine *machine, uint64_t done, uint64_t total);
void run_view_restore_progress(void *view, struct vz_machine *machine, uint64_t done, uint64_t total);
/* The window goes, before the machine is freed. */
void run_view_close(struct run_view *v);
/* After the machine, which tells its states till then. NULL is fine. */
void run_view_free(struct run_view *v);

#endif
