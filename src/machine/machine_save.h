/* SPDX-License-Identifier: MIT */
/* Saving and restoring, as an operation has it. */
#ifndef VZ_MACHINE_MACHINE_SAVE_H
#define VZ_MACHINE_MACHINE_SAVE_H

#include <vz/saved_state.h>

#include "base/compiler.h"

struct save_reader;

/* What an operation needs to know: of MACHINE_OP_SAVE and _RESTORE. */
struct machine_file {
    char *path, *passphrase; /* passphrase may be NULL */
    bool compress, plain;
    bool new_generation, map_memory; /* RESTORE */
    bool unsynced;                   /* SAVE */
    bool background;                 /* SAVE; and */
    vz_machine_done_fn *written;
    void *written_arg;
    vz_machine_progress_fn *progress;
    void *progress_arg;
    struct save_reader *reader; /* RESTORE, once it is open */
    uint64_t page; /* bytes that a unit of progress stands for */
    struct vz_machine *machine;
};

void machine_file_free(struct machine_file *f); /* NULL is fine */

/* On the machine's thread: open what is to be restored, and see whether it fits, before anything is
 * built. 0; or -errno with err. */
int machine_restore_prepare(struct vz_machine *m, struct machine_file *f,
                            struct vz_error *err) must_check;

/* Likewise, at rest. */
int machine_save_now(struct vz_machine *m, struct machine_file *f, struct vz_error *err) must_check;
int machine_restore_now(struct vz_machine *m, struct machine_file *f,
                        struct vz_error *err) must_check;

/* machine_background.c, the machine's thread: w has everything but memory; that is taken now, and written while the machine
 * goes on. w is taken then. 0; -EOPNOTSUPP: it cannot be so, and nothing has happened; other -errno with err. */
struct save_writer;
int machine_save_behind(struct vz_machine *m, const struct machine_file *f, struct save_writer *w,
                        struct vz_error *err) must_check;
/* It was written at once. -ENOMEM: nobody will be told. */
int machine_tell_written(struct vz_machine *m, const struct machine_file *f, struct vz_error *err) must_check;
/* Wait for all that is being written; what there is to tell is delivered later. */
void machine_join_background(struct vz_machine *m);

#endif
