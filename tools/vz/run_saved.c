/* SPDX-License-Identifier: MIT */
/* Saved states as `vz run` has them: --restore, --save, --passphrase-file. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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
    setvbuf(f, NULL, _IONBF, 0); /* it is left nowhere else */
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
    ret->passphrase_file = file;
    return !file || run_saved_passphrase(file, ret->passphrase);
}

/* Can it be read once more? A pipe cannot. */
static bool is_there_for_good(const char *path)
{
    struct stat st;

    return path && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* A guest is about to run in this process: what it might find there is not there. */
static void forget_passphrase(struct run_saved *s)
{
    if (!s->save || is_there_for_good(s->passphrase_file))
        explicit_bzero(s->passphrase, sizeof(s->passphrase));
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

static int restore(struct run_saved *s, struct vz_machine *machine, struct vz_error *err)
{
    struct vz_restore_options o = VZ_RESTORE_OPTIONS_INIT;
    int r;

    o.passphrase = passphrase_of(s);
    o.new_generation = true; /* the file stays, and may be restored again */
    o.map_memory = s->copy;
    o.progress = s->restore_progress;
    o.progress_arg = s->progress_arg;
    r = vz_machine_restore_wait(machine, s->restore, &o, err);
    forget_passphrase(s);
    return r < 0 ? -1 : vz_machine_resume_wait(machine, err);
}

int run_saved_start(struct run_saved *s, struct vz_machine *machine, struct vz_error *err)
{
    if (s->restore)
        return restore(s, machine, err);
    forget_passphrase(s);
    return start_unless_signalled(machine, err);
}

static int save(const struct run_saved *s, struct vz_machine *machine, const char *passphrase, struct vz_error *err)
{
    struct vz_save_options o = VZ_SAVE_OPTIONS_INIT;

    o.passphrase = passphrase[0] ? passphrase : NULL;
    o.compress = s->compress;
    o.plain_memory = s->plain;
    o.progress = s->progress;
    o.progress_arg = s->progress_arg;
    return vz_machine_save_wait(machine, s->save, &o, err);
}

/* It was forgotten, or is still known. */
static bool find_passphrase(const struct run_saved *s, char ret[PASSPHRASE_MAX])
{
    memcpy(ret, s->passphrase, PASSPHRASE_MAX);
    return ret[0] || !s->passphrase_file || run_saved_passphrase(s->passphrase_file, ret);
}

bool run_saved_save(const struct run_saved *s, struct vz_machine *machine)
{
    struct vz_error err = {.text = "out of memory"};
    char passphrase[PASSPHRASE_MAX];
    int r;

    if (!find_passphrase(s, passphrase))
        return false;
    if (vz_machine_pause_wait(machine, &err) < 0) {
        cli_error("not saved: %s", err.text);
        explicit_bzero(passphrase, sizeof(passphrase));
        return false;
    }
    r = save(s, machine, passphrase, &err);
    explicit_bzero(passphrase, sizeof(passphrase));
    if (r == 0) {
        cli_error("saved to %s", s->save);
        return true;
    }
    cli_error("not saved, and the machine runs on: %s", err.text);
    vz_machine_resume_wait(machine, NULL);
    return false;
}
