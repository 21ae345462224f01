/* SPDX-License-Identifier: MIT */
/* --sandbox: what a machine's threads give up, and where it may still make files. */
#include <dlfcn.h>
#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vz/vz.h>

#include "cli.h"

static const struct {
    const char *word;
    enum vz_sandbox mode;
} words[] = {{"off", VZ_SANDBOX_NONE}, {"on", VZ_SANDBOX_PROCESS}, {"log", VZ_SANDBOX_LOG}};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DEFAULT_MODE VZ_SANDBOX_NONE /* sanitizers trace their process in the end, and open files */
#else
#define DEFAULT_MODE VZ_SANDBOX_AUTOMATIC
#endif

/* The process', whose machine has it. */
static struct run_sandbox_choice chosen = {.mode = VZ_SANDBOX_NONE};

struct run_sandbox_choice run_sandbox_chosen(void)
{
    return chosen;
}

static bool mode_of(const char *value, const char *from, enum vz_sandbox *ret)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strcmp(words[i].word, value)) {
            *ret = words[i].mode;
            return true;
        }
    }
    cli_error("%s '%s': expected on, off or log", from, value);
    return false;
}

/* The folder of a file. */
static const char *folder_of(const char *path, struct sandbox_folders *ret)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return ".";
    snprintf(ret->own, sizeof(ret->own), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return ret->own;
}

/* ---- Whose its threads are ------------------------------------------------------------------ */

#define FIRST_OWN 2053177344u /* behind all that are in use: of users, of containers, of services */
#define OWN_COUNT 4194304u    /* as many as there can be processes */

/* Does this user namespace have the number? map: of its users, or of its groups. */
static bool is_mapped(const char *map, uint32_t id)
{
    unsigned inside, outside, count;
    FILE *f = fopen(map, "re");
    bool is = false;

    while (f && !is && fscanf(f, "%u %u %u", &inside, &outside, &count) == 3)
        is = id >= inside && id - inside < count;
    if (f)
        fclose(f);
    return is;
}

/* CAP_SETGID, CAP_SETUID: root of a container may be without. */
static bool may_become(void)
{
    unsigned long long caps = 0;
    char line[256];
    FILE *f = fopen("/proc/self/status", "re");

    while (f && fgets(line, sizeof(line), f) && sscanf(line, "CapEff: %llx", &caps) != 1)
        ;
    if (f)
        fclose(f);
    return (caps & 0xc0) == 0xc0;
}

static bool choose_user(const char *run_as, const char *from, struct vz_machine_options *o)
{
    uint32_t own = FIRST_OWN + (uint32_t)getpid() % OWN_COUNT;
    const struct passwd *p;

    if (geteuid() != 0) {
        if (run_as && from[0] == '-')
            cli_error("--run-as: only root can be somebody else");
        return !run_as || from[0] != '-';
    }
    if (!run_as) {
        if (is_mapped("/proc/self/uid_map", own) && is_mapped("/proc/self/gid_map", own) && may_become())
            o->sandbox_uid = o->sandbox_gid = own;
        return true;
    }
    p = getpwnam(run_as);
    if (!p)
        cli_error("%s: there is no user '%s'", from, run_as);
    else if (p->pw_uid && !may_become())
        cli_error("%s %s: this root may not become anybody (it lacks CAP_SETUID or CAP_SETGID)", from, run_as);
    if (p && p->pw_uid && !may_become())
        return false;
    if (p) {
        o->sandbox_uid = p->pw_uid;
        o->sandbox_gid = p->pw_gid;
    }
    return p;
}

bool run_sandbox(const char *value, const char *run_as, const char *path,
                 struct sandbox_folders *ret_folder, struct vz_machine_options *o)
{
    const char *given = value ? value : getenv("VZ_SANDBOX"), *user = run_as ? run_as : getenv("VZ_RUN_AS");

    *ret_folder = (struct sandbox_folders){.list = {NULL}};
    o->sandbox = DEFAULT_MODE;
    if (given && *given && !mode_of(given, value ? "--sandbox" : "VZ_SANDBOX", &o->sandbox))
        return false;
    if (!choose_user(user && *user ? user : NULL, run_as ? "--run-as" : "VZ_RUN_AS", o))
        return false;
    chosen = (struct run_sandbox_choice){o->sandbox, o->sandbox_uid, o->sandbox_gid};
    if (path)
        ret_folder->list[0] = folder_of(path, ret_folder);
    o->sandbox_folders = ret_folder->list;
    return true;
}

bool run_sandbox_lock(enum vz_thread_work work, const char *folder)
{
    static atomic_flag told = ATOMIC_FLAG_INIT; /* what keeps one thread out keeps the next ones out, too */
    const char *name = work == VZ_THREAD_SERVES ? "vz-serve" : work == VZ_THREAD_WATCHES ? "vz-watch" : NULL;
    struct vz_error err;

    if (name) /* for who looks at its threads, or reads which of them made a call that it may not */
        pthread_setname_np(pthread_self(), name);
    /* pthread_cancel() loads it when it is first called, when nothing can be loaded any more. */
    if (work == VZ_THREAD_CONTROLS && chosen.mode != VZ_SANDBOX_NONE)
        (void)dlopen("libgcc_s.so.1", RTLD_LAZY);
    if (vz_lock_thread(work, chosen.mode, folder, &err) == 0)
        return true;
    if (!atomic_flag_test_and_set(&told))
        cli_error("%s", err.text);
    return false;
}
