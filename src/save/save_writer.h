/* SPDX-License-Identifier: MIT */
/* Writing a saved state. It has its name once it is whole: until then what the name stood for is there,
 * and afterwards nothing is left of a file that was given up. One thread calls. */
#ifndef VZ_SAVE_SAVE_WRITER_H
#define VZ_SAVE_SAVE_WRITER_H

#include "save/save_format.h"
#include "save/save_parallel.h"

struct mem;
struct save_writer;
struct vz_error;

struct save_writer_options {
    const char *path;
    const char *passphrase; /* NULL: the user's key */
    bool compress;          /* memory */
    bool plain;             /* memory is not sealed; without the two above */
    bool long_table;        /* of plain memory, as version 1 has it; for tests */
    bool unsynced;          /* nobody needs it after a loss of power */
};

/* Nothing is in the way of it, as far as can be seen. What it replaces must be a saved state. 0 or
 * -errno. */
int save_writer_new(const struct save_writer_options *options, struct save_writer **ret,
                    struct vz_error *err) must_check;
void save_writer_free(struct save_writer *w); /* NULL is fine. Not committed: nothing has happened */

/* In any order. */
int save_writer_memory(struct save_writer *w, struct mem *mem, const struct save_progress *progress,
                       struct vz_error *err) must_check;
int save_writer_part(struct save_writer *w, enum save_part part, const void *data, size_t len,
                     struct vz_error *err) must_check;

/* Memory, by somebody else, who goes on when this returns, while it may change again. -EOPNOTSUPP, without err: that is not
 * possible, of this memory or in this file. The other one: it is written. Any thread, and it waits. */
int save_writer_memory_begin(struct save_writer *w, struct mem *mem, struct vz_error *err) must_check;
int save_writer_memory_end(struct save_writer *w, struct vz_error *err) must_check;

/* It is on stable storage, unless unsynced, and has its name, when this returns 0. */
int save_writer_commit(struct save_writer *w, struct vz_error *err) must_check;

#endif
