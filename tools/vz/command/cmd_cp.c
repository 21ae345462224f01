/* SPDX-License-Identifier: MIT */
/* `vz cp SRC DST`: files into a machine's guest, or out of it. */
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/machine_command.h"
#include "guest/agent_link.h"
#include "now_ms.h"

static const struct opt cp_options[] = {
    {"archive", 'a', OPT_NEVER, NULL, "Options", "keep owners, set-id bits and all attributes",
     "By number. Otherwise files belong to whom they are copied by; modes, times and user attributes are always kept.", 0},
    {"follow", 'L', OPT_NEVER, NULL, "Options", "where SRC is a symbolic link, copy what it leads to", NULL, 0},
    {"user", 'u', OPT_ALWAYS, "USER[:GROUP]", "Options",
     "read and write in the guest as this user (default root)", NULL, 1},
    {"quiet", 'q', OPT_NEVER, NULL, "Options", "show no progress", NULL, 0},
    {"timeout", 0, OPT_ALWAYS, "TIME", "Options",
     "how long to wait for the guest's agent (90s, 5m, 1h; default a minute after the machine's start)", NULL, 1},
    {.name = NULL}};

/* One side: a path here, or a machine and a path there. */
struct side {
    char machine[PATH_MAX]; /* "": here */
    const char *path;
};

/* Does a machine's folder lie there? */
static bool is_machine_folder(const char *text, size_t len)
{
    char config[PATH_MAX];

    snprintf(config, sizeof(config), "%.*s/" BUNDLE_CONFIG, (int)len, text);
    return access(config, F_OK) == 0;
}

/* "NAME:PATH", or "FOLDER:PATH" where a machine's folder is: other words with a slash before the colon are
 * paths here, as are those without a colon. */
static void read_side(const char *text, struct side *ret)
{
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;

    *ret = (struct side){.path = text};
    if (!len || len >= sizeof(ret->machine) - 16 ||
        (memchr(text, '/', len) && !is_machine_folder(text, len)))
        return;
    memcpy(ret->machine, text, len);
    ret->path = colon[1] ? colon + 1 : ".";
}

struct progress {
    const char *what;
    bool quiet, told;
    uint64_t start_ms, told_ms;
};

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number; /* a second one ends us at once */
}

static bool on_progress(void *arg, uint64_t bytes)
{
    struct progress *p = arg;
    uint64_t now = now_ms();

    if (!p->quiet && now - p->start_ms > 1000 && now - p->told_ms > 200) {
        fprintf(stderr, "\r%s: %.1f MiB, %.1f MiB/s\033[K", p->what, (double)bytes / (1 << 20),
                (double)bytes * 1000 / (1 << 20) / (double)(now - p->start_ms));
        p->told_ms = now;
        p->told = true;
    }
    return !caught;
}

static int copy(struct vz_agent *agent, const struct args *a, const struct side *from,
                const struct side *to)
{
    struct vz_agent_copy_options o = VZ_AGENT_COPY_OPTIONS_INIT;
    struct vz_agent_copy_result result = VZ_AGENT_COPY_RESULT_INIT;
    struct progress p = {.what = from->path, .start_ms = now_ms(),
                         .quiet = args_flag(a, "quiet") || !isatty(STDERR_FILENO)};
    struct vz_error err = {.text = ""};
    int r;

    o.archive = args_flag(a, "archive");
    o.follow = args_flag(a, "follow");
    o.user = args_value(a, "user");
    o.progress = on_progress;
    o.arg = &p;
    r = to->machine[0] ? vz_agent_copy_in(agent, from->path, to->path, &o, &result, &err)
                       : vz_agent_copy_out(agent, from->path, to->path, &o, &result, &err);
    if (p.told)
        fputs("\r\033[K", stderr);
    if (r < 0 && !caught)
        cli_error("%s", err.text);
    else if (result.skipped)
        cli_error("%s: %llu sockets, devices or pipes were not copied", from->path,
                  (unsigned long long)result.skipped);
    return r < 0 ? EXIT_FAILED : EXIT_OK;
}

static int copy_by(const struct args *a, const struct side *from, const struct side *to)
{
    const struct sigaction sa = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    int wait_ms = LINK_AUTOMATIC, status = EXIT_FAILED;
    struct vz_error err = {.text = ""};
    struct vz_agent *agent;
    struct bundle b;

    if (!time_option("timeout", args_value(a, "timeout"), &wait_ms))
        return EXIT_USAGE;
    if (!machine_open(from->machine[0] ? from->machine : to->machine, &b))
        return EXIT_FAILED;
    agent = agent_link(&b, wait_ms, NULL, &err);
    if (agent) {
        sigaction(SIGINT, &sa, NULL);
        sigaction(SIGTERM, &sa, NULL);
        status = copy(agent, a, from, to);
    } else {
        cli_error("%s", err.text);
    }
    vz_agent_free(agent);
    bundle_close(&b);
    if (caught)
        raise(caught);
    return status;
}

static int cp_main(int argc, char **argv)
{
    struct side from, to;
    int status = EXIT_USAGE;
    struct args a;

    if (args_parse(&cp_command, argc, argv, 2, 2, &a)) {
        read_side(a.word[0], &from);
        read_side(a.word[1], &to);
        if (!from.machine[0] == !to.machine[0])
            cli_error("cp: one of the two is MACHINE:PATH, the other one a path here%s",
                      from.machine[0] ? "; copy it here first" : "");
        else
            status = copy_by(&a, &from, &to);
    }
    args_free(&a);
    return status;
}

const struct command cp_command = {
    "cp", cp_main, NULL, cp_options, "copy files into a machine's guest or out of it", NULL, "SRC DST",
    "One of the two is MACHINE:PATH; PATH without a slash in front is below the user's home. Folders are copied with all that is in "
    "them; if SRC ends in /. what is in it. If DST is a folder they come into it, else that is the copy's name. Files appear when "
    "they are whole."};
