/* SPDX-License-Identifier: MIT */
/* Saved states as `vz run` has them: --restore, --save, --passphrase-file. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <vz/vz.h>

#include "cli.h"

#define LOOK_NS 100000000 /* how often for a signal */

static const char *value_of(const struct given *list, const char *name)
{
    const struct given *g = opts_given(list, name);

    return g ? g->value : NULL;
}

bool run_saved_passphrase(const char *path, char ret[PASSPHRASE_MAX])
{
    FILE *f = fopen(path, "re");
    bool ok;

    if (!f) {
        cli_error("--passphrase-file '%s': %s", path, strerror(errno));
        return false;
    }
    ok = fgets(ret, PASSPHRASE_MAX, f) != NULL;
    fclose(f);
    ret[strcspn(ret, "\r\n")] = '\0';
    if (ok && ret[0] && strlen(ret) < PASSPHRASE_MAX - 1)
        return true;
    cli_error("--passphrase-file '%s': its first line should be a passphrase of up to %u bytes", path,
              PASSPHRASE_MAX - 2);
    return false;
}

bool run_saved_parse(const struct given *list, struct run_saved *ret)
{
    const char *file = value_of(list, "passphrase-file");

    *ret = (struct run_saved){.restore = value_of(list, "restore"), .save = value_of(list, "save"),
                              .compress = opts_given(list, "save-compressed") != NULL};
    ret->plain = opts_given(list, "save-plain") != NULL;
    if (ret->plain && (ret->compress || file)) {
        cli_error("--save-plain leaves memory as it is: neither compressed nor with a passphrase");
        return false;
    }
    if (ret->plain && !ret->save) {
        cli_error("--save-plain goes with --save, which is missing");
        return false;
    }
    if (ret->compress && !ret->save) {
        cli_error("--save-compressed goes with --save, which is missing");
        return false;
    }
    if (file && !ret->restore && !ret->save) {
        cli_error("--passphrase-file goes with --restore or --save, which are missing");
        return false;
    }
    return !file || run_saved_passphrase(file, ret->passphrase);
}

static const char *passphrase_of(const struct run_saved *s)
{
    return s->passphrase[0] ? s->passphrase : NULL;
}

struct vz_config *run_saved_config(const struct run_saved *s)
{
    struct vz_error err = {.text = "out of memory"};
    struct vz_config *c = vz_saved_state_config(s->restore, passphrase_of(s), &err);

    if (!c)
        cli_error("%s", err.text);
    return c;
}

/* A start, waited for. */
struct starting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool over;
    struct vz_error err;
};

static void on_started(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct starting *s = arg;

    pthread_mutex_lock(&s->lock);
    s->over = true;
    if (err)
        s->err = *err;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* A server may have it wait for half a minute, but not whoever wants vz to end. */
static int start_unless_signalled(struct vz_machine *machine, struct vz_error *err)
{
    struct starting s = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, .err = {.code = VZ_ERROR_NONE}};
    struct timespec until;

    if (vz_machine_start(machine, on_started, &s) < 0)
        return -1;
    pthread_mutex_lock(&s.lock);
    while (!s.over) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += LOOK_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&s.changed, &s.lock, &until);
        if (!s.over && ending_came())
            vz_machine_cancel(machine);
    }
    pthread_mutex_unlock(&s.lock);
    *err = s.err;
    return s.err.code == VZ_ERROR_NONE ? 0 : -1;
}

int run_saved_start(const struct run_saved *s, struct vz_machine *machine, struct vz_error *err)
{
    struct vz_restore_options o = VZ_RESTORE_OPTIONS_INIT;

    if (!s->restore)
        return start_unless_signalled(machine, err);
    o.passphrase = passphrase_of(s);
    o.new_generation = true; /* the file stays, and may be restored again */
    o.map_memory = s->copy;
    o.progress = s->restore_progress;
    o.progress_arg = s->progress_arg;
    if (vz_machine_restore_wait(machine, s->restore, &o, err) < 0)
        return -1;
    return vz_machine_resume_wait(machine, err);
}

bool run_saved_save(const struct run_saved *s, struct vz_machine *machine)
{
    struct vz_save_options o = VZ_SAVE_OPTIONS_INIT;
    struct vz_error err = {.text = "out of memory"};

    o.passphrase = passphrase_of(s);
    o.compress = s->compress;
    o.plain_memory = s->plain;
    o.progress = s->progress;
    o.progress_arg = s->progress_arg;
    if (vz_machine_pause_wait(machine, &err) < 0) {
        cli_error("not saved: %s", err.text);
        return false;
    }
    if (vz_machine_save_wait(machine, s->save, &o, &err) == 0) {
        cli_error("saved to %s", s->save);
        return true;
    }
    cli_error("not saved, and the machine runs on: %s", err.text);
    vz_machine_resume_wait(machine, NULL);
    return false;
}
