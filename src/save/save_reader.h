/* SPDX-License-Identifier: MIT */
/* Reading a saved state, which is believed nothing. One thread calls. */
#ifndef VZ_SAVE_SAVE_READER_H
#define VZ_SAVE_SAVE_READER_H

#include "save/save_format.h"
#include "save/save_parallel.h"

struct mem;
struct save_reader;
struct vz_error;

/* Opens it, and looks at all but memory. passphrase may be NULL. 0; or -errno with err, all of them
 * VZ_ERROR_RESTORE or of the host: -ENOENT, -EACCES: not sealed with a key that we have; -ENOTSUP:
 * newer; -EINVAL: damaged, or nothing of the kind. */
int save_reader_new(const char *path, const char *passphrase, struct save_reader **ret,
                    struct vz_error *err) must_check;
/* The same for its parts alone, which does not look at what the length of memory decides. */
int save_reader_peek(const char *path, const char *passphrase, struct save_reader **ret,
                     struct vz_error *err) must_check;
void save_reader_free(struct save_reader *r); /* NULL is fine */

/* Can its memory be mapped? */
bool save_reader_is_plain(const struct save_reader *r);
/* The reader's; never NULL, but maybe empty. */
const void *save_reader_part(const struct save_reader *r, enum save_part part, size_t *ret_len);

/* mem has as much as was saved, and nobody else uses it. After a failure anything may be in it. */
int save_reader_memory(struct save_reader *r, struct mem *mem, const struct save_progress *progress,
                       struct vz_error *err) must_check;

#endif
