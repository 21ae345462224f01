/* SPDX-License-Identifier: MIT */
/* Saved states that are written while the machine goes on: a thread for each waits for the child process that has the
 * memory, and gives the file its name. */
#include "machine/machine_save.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/thread.h"
#include "board/pc/board.h"
#include "machine/machine_impl.h"
#include "save/save_writer.h"

struct machine_background {
    struct event event;
    LIST_ENTRY(machine_background) link; /* the machine's, under its lock */
    struct vz_machine *machine;
    struct save_writer *writer; /* NULL: it was written at once */
    vz_machine_done_fn *written;
    void *arg;
    pthread_t thread;
    bool joined, failed;
    struct vz_error err;
};

static void join(struct machine_background *b)
{
    if (!b->joined && b->writer)
        pthread_join(b->thread, NULL);
    b->joined = true;
}

/* On the program's thread, or the machine's. */
static void tell(struct event *e, void *machine)
{
    struct machine_background *b = container_of(e, struct machine_background, event);
    struct vz_machine *m = machine;

    join(b);
    if (b->writer) {
        pthread_mutex_lock(&m->lock);
        LIST_REMOVE(b, link);
        pthread_mutex_unlock(&m->lock);
    }
    if (b->written)
        b->written(b->arg, m, b->failed ? &b->err : NULL);
    free(b);
}

static void *write_behind(void *arg)
{
    struct machine_background *b = arg;
    struct vz_machine *m = b->machine;
    int r = save_writer_memory_end(b->writer, &b->err);

    if (!r)
        r = save_writer_commit(b->writer, &b->err);
    save_writer_free(b->writer);
    b->failed = r < 0;
    events_push(&m->events, &b->event); /* b may be gone from here on, but not this thread */
    machine_wake(m);
    return NULL;
}

static struct machine_background *background_new(struct vz_machine *m, const struct machine_file *f,
                                                 struct save_writer *w)
{
    struct machine_background *b = calloc(1, sizeof(*b));

    if (b)
        *b = (struct machine_background){.event.fn = tell, .machine = m, .writer = w, .written = f->written,
                                         .arg = f->written_arg};
    return b;
}

int machine_save_behind(struct vz_machine *m, const struct machine_file *f, struct save_writer *w,
                        struct vz_error *err)
{
    struct machine_background *b = background_new(m, f, w);
    int r = b ? save_writer_memory_begin(w, m->parts.board->mem, err)
              : error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");

    if (r < 0) {
        free(b);
        return r;
    }
    pthread_mutex_lock(&m->lock);
    LIST_INSERT_HEAD(&m->background, b, link);
    pthread_mutex_unlock(&m->lock);
    r = thread_start(&b->thread, THREAD_SAVE, "vz-save", write_behind, b);
    if (!r)
        return 0;
    pthread_mutex_lock(&m->lock);
    LIST_REMOVE(b, link);
    pthread_mutex_unlock(&m->lock);
    free(b);
    return error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot start a thread");
}

int machine_tell_written(struct vz_machine *m, const struct machine_file *f, struct vz_error *err)
{
    struct machine_background *b = background_new(m, f, NULL);

    if (!b)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    events_push(&m->events, &b->event);
    return 0;
}

void machine_join_background(struct vz_machine *m)
{
    struct machine_background *b;

    LIST_FOREACH(b, &m->background, link)
        join(b);
}
