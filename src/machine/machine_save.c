/* SPDX-License-Identifier: MIT */
/* A machine into a file and out of it again: what programs call, and what is done at rest. */
#include "machine/machine_save.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "board/pc/board.h"
#include "config/config_compare.h"
#include "machine/machine_impl.h"
#include "machine/saved_description.h"
#include "save/save_reader.h"
#include "save/save_writer.h"
#include "state/state.h"

/* ---- What there is to know ------------------------------------------------------------------ */

void machine_file_free(struct machine_file *f)
{
    if (!f)
        return;
    save_reader_free(f->reader);
    if (f->passphrase)
        explicit_bzero(f->passphrase, strlen(f->passphrase));
    free(f->passphrase);
    free(f->path);
    free(f);
}

static struct machine_file *file_new(struct vz_machine *m, const char *path, const char *passphrase,
                                     vz_machine_progress_fn *progress, void *arg)
{
    struct machine_file *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    f->machine = m;
    f->path = strdup(path);
    f->passphrase = passphrase ? strdup(passphrase) : NULL;
    f->progress = progress;
    f->progress_arg = arg;
    if (f->path && (f->passphrase || !passphrase))
        return f;
    machine_file_free(f);
    return NULL;
}

static struct machine_file *file_to_save(struct vz_machine *m, const char *path,
                                         const struct vz_save_options *options,
                                         struct vz_error *err)
{
    struct vz_save_options o = VZ_SAVE_OPTIONS_INIT;
    struct machine_file *f;

    if (!options_given(m, "machine", err) || !options_given(path, "path", err) ||
        options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    if (o.plain_memory && (o.compress || o.passphrase)) {
        error_set(err, EINVAL, VZ_ERROR_INVALID,
                  "plain memory is neither compressed nor sealed with a passphrase");
        return NULL;
    }
    f = file_new(m, path, o.passphrase, o.progress, o.progress_arg);
    if (f) {
        f->compress = o.compress;
        f->plain = o.plain_memory;
        f->unsynced = o.unsynced;
        f->background = o.background;
        f->written = o.written;
        f->written_arg = o.written_arg;
    } else {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    return f;
}

static struct machine_file *file_to_restore(struct vz_machine *m, const char *path,
                                            const struct vz_restore_options *options,
                                            struct vz_error *err)
{
    struct vz_restore_options o = VZ_RESTORE_OPTIONS_INIT;
    struct machine_file *f;

    if (!options_given(m, "machine", err) || !options_given(path, "path", err) ||
        options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    f = file_new(m, path, o.passphrase, o.progress, o.progress_arg);
    if (f) {
        f->new_generation = o.new_generation;
        f->map_memory = o.map_memory;
    } else {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    return f;
}

int vz_machine_save(struct vz_machine *machine, const char *path,
                    const struct vz_save_options *options, vz_machine_done_fn *fn, void *arg)
{
    struct machine_file *f = file_to_save(machine, path, options, NULL);

    return f ? machine_begin_file(machine, MACHINE_OP_SAVE, f, fn, arg) : -1;
}

int vz_machine_restore(struct vz_machine *machine, const char *path,
                       const struct vz_restore_options *options, vz_machine_done_fn *fn, void *arg)
{
    struct machine_file *f = file_to_restore(machine, path, options, NULL);

    return f ? machine_begin_file(machine, MACHINE_OP_RESTORE, f, fn, arg) : -1;
}

int vz_machine_save_wait(struct vz_machine *machine, const char *path,
                         const struct vz_save_options *options, struct vz_error *err)
{
    struct machine_file *f = file_to_save(machine, path, options, err);

    return f ? machine_begin_file_wait(machine, MACHINE_OP_SAVE, f, err) : -1;
}

int vz_machine_restore_wait(struct vz_machine *machine, const char *path,
                            const struct vz_restore_options *options, struct vz_error *err)
{
    struct machine_file *f = file_to_restore(machine, path, options, err);

    return f ? machine_begin_file_wait(machine, MACHINE_OP_RESTORE, f, err) : -1;
}

void vz_machine_cancel(struct vz_machine *machine)
{
    if (machine)
        atomic_store(&machine->cancel, true);
}

struct vz_config *vz_saved_state_config(const char *path, const char *passphrase,
                                        struct vz_error *err)
{
    struct vz_config *c = NULL;
    struct save_reader *r;
    const void *text;
    size_t len;

    if (!options_given(path, "path", err) || save_reader_peek(path, passphrase, &r, err) < 0)
        return NULL;
    text = save_reader_part(r, SAVE_CONFIGURATION, &len);
    c = vz_config_from_json(text, len, err);
    if (!c && err && err->code == VZ_ERROR_INVALID) {
        err->code = VZ_ERROR_RESTORE;
        error_prefix(err, "%s: its configuration", path);
    }
    save_reader_free(r);
    return c;
}

/* ---- Progress ------------------------------------------------------------------------------- */

struct progress_event {
    struct event event;
    vz_machine_progress_fn *fn;
    void *arg;
    uint64_t done, total;
};

static void call_progress(struct event *e, void *machine)
{
    struct progress_event *p = container_of(e, struct progress_event, event);
    struct vz_machine *m = machine;

    atomic_store(&m->progress_waits, false);
    p->fn(p->arg, m, p->done, p->total);
    free(p);
}

/* One at a time: a program that takes none gets no heap of them. */
static void tell_progress(struct machine_file *f, uint64_t done, uint64_t total)
{
    struct vz_machine *m = f->machine;
    struct progress_event *p;

    if (!f->progress || atomic_load(&m->progress_waits) || !(p = malloc(sizeof(*p))))
        return;
    *p = (struct progress_event){.event.fn = call_progress, .fn = f->progress,
                                 .arg = f->progress_arg, .done = done, .total = total};
    atomic_store(&m->progress_waits, true);
    events_push(&m->events, &p->event);
}

static int tick(void *arg, uint64_t done, uint64_t total)
{
    struct machine_file *f = arg;
    struct vz_machine *m = f->machine;

    tell_progress(f, mul_div_u64(m->config->options.memory_size, done, total),
                  m->config->options.memory_size);
    machine_deliver(m);
    return atomic_load(&m->cancel) ? -ECANCELED : 0;
}

/* ---- Saving --------------------------------------------------------------------------------- */

static int save_sections(struct vz_machine *m, struct save_writer *w, struct vz_error *err)
{
    struct state_writer devices = {0}, controllers = {0};
    int r = parts_save(&m->parts, &devices, &controllers);

    if (r < 0)
        error_set(err, -r, r == -ENOMEM ? VZ_ERROR_NO_MEMORY : VZ_ERROR_SAVE,
                  "the machine's state: %s", strerror(-r));
    if (!r)
        r = save_writer_part(w, SAVE_DEVICES, devices.data, devices.len, err);
    if (!r)
        r = save_writer_part(w, SAVE_CONTROLLERS, controllers.data, controllers.len, err);
    state_writer_fini(&devices);
    state_writer_fini(&controllers);
    return r;
}

static int save_text(struct save_writer *w, enum save_part part, char *text, struct vz_error *err)
{
    int r = text ? save_writer_part(w, part, text, strlen(text), err)
                 : error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");

    free(text);
    return r;
}

int machine_save_now(struct vz_machine *m, struct machine_file *f, struct vz_error *err)
{
    const struct save_writer_options o = {.path = f->path, .passphrase = f->passphrase,
                                          .compress = f->compress, .plain = f->plain,
                                          .unsynced = f->unsynced};
    const struct save_progress progress = {.tick = tick, .arg = f};
    struct vz_config *config = machine_present_config(m, err);
    struct save_writer *w = NULL;
    int r = config ? vz_config_validate_save_restore_support(config, err) : -ENOMEM;

    if (!r)
        r = save_writer_new(&o, &w, err);
    if (!r && !f->background)
        r = device_slots_flush(m->parts.slots, err);
    if (!r)
        r = save_text(w, SAVE_DESCRIPTION, saved_description_write(&m->parts), err);
    if (!r)
        r = save_text(w, SAVE_CONFIGURATION, vz_config_to_json(config, NULL), err);
    vz_config_unref(config);
    if (!r)
        r = save_sections(m, w, err);
    if (!r && f->background) {
        r = machine_save_behind(m, f, w, err);
        if (!r)
            return 0;
        r = r == -EOPNOTSUPP ? 0 : r;
    }
    if (!r)
        r = save_writer_memory(w, m->parts.board->mem, &progress, err);
    if (!r)
        r = save_writer_commit(w, err);
    save_writer_free(w);
    if (!r && f->background)
        r = machine_tell_written(m, f, err);
    return r;
}

/* ---- Restoring ------------------------------------------------------------------------------ */

static int check_config(struct vz_machine *m, struct machine_file *f, struct vz_error *err)
{
    struct vz_error e = {0};
    struct vz_config *saved;
    const void *text;
    size_t len;
    int r;

    text = save_reader_part(f->reader, SAVE_CONFIGURATION, &len);
    saved = vz_config_from_json(text, len, &e);
    if (!saved)
        return error_set(err, EINVAL, VZ_ERROR_RESTORE, "%s: its configuration: %s", f->path, e.text);
    r = config_compare(saved, m->config, f->new_generation, &e);
    vz_config_unref(saved);
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_RESTORE,
                         "%s is of another machine: %s; restore it with the configuration that it was "
                         "saved with", f->path, e.text);
    return 0;
}

int machine_restore_prepare(struct vz_machine *m, struct machine_file *f, struct vz_error *err)
{
    int r = config_validate_restore_support(m->config, err);

    if (!r)
        r = save_reader_new(f->path, f->passphrase, &f->reader, err);
    if (!r)
        f->map_memory = f->map_memory && save_reader_is_plain(f->reader);
    return r ? r : check_config(m, f, err);
}

/* Whatever is wrong with it, it is the file. */
static int bad_state(const struct machine_file *f, int r, struct vz_error *err)
{
    if (err->code != VZ_ERROR_NO_MEMORY)
        err->code = VZ_ERROR_RESTORE;
    error_prefix(err, r == -ENOTSUP ? "%s was saved by a newer vz" : "%s cannot be restored", f->path);
    return r;
}

int machine_restore_now(struct vz_machine *m, struct machine_file *f, struct vz_error *err)
{
    const struct save_progress progress = {.tick = tick, .arg = f};
    struct vz_error e = {0};
    const void *data, *controllers;
    size_t len, controllers_len;
    int r;

    data = save_reader_part(f->reader, SAVE_DESCRIPTION, &len);
    r = saved_description_check(data, len, &m->parts, f->path, err);
    if (!r)
        r = save_reader_memory(f->reader, m->parts.board->mem, &progress, err);
    if (r < 0)
        return r;
    data = save_reader_part(f->reader, SAVE_DEVICES, &len);
    controllers = save_reader_part(f->reader, SAVE_CONTROLLERS, &controllers_len);
    r = parts_load(&m->parts, data, len, controllers, controllers_len, &e);
    if (!r && f->new_generation && (r = board_new_generation(m->parts.board)) < 0)
        error_set(&e, -r, VZ_ERROR_RESTORE, "its memory cannot be written: %s", strerror(-r));
    if (r < 0) {
        r = bad_state(f, r, &e);
        if (err)
            *err = e;
    }
    save_reader_free(f->reader);
    f->reader = NULL;
    return r;
}
