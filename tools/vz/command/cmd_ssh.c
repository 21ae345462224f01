/* SPDX-License-Identifier: MIT */
/* `vz ssh MACHINE`: this computer's ssh, led to the guest. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/machine_command.h"
#include "failure.h"
#include "guest/agent_link.h"
#include "guest/ssh_port.h"

#define WORDS_MAX 512
#define OURS      255 /* as ssh has it when it is not the command's */

static const struct opt ssh_options[] = {
    {"user", 'u', OPT_ALWAYS, "USER", "Options", "as which user of the guest",
     "Without, as the user that the machine was created with (--user), or else root.", 1},
    {"identity", 'i', OPT_ALWAYS, "FILE", "Options", "by this private key, as ssh's -i", NULL, 1},
    {.name = NULL}};

/* Where the guest's host keys are kept, and under which name: the machine's, whatever port leads to
 * it. */
struct target {
    char *known_hosts, *alias, *port;
    char user[64];
};

static void read_user(const struct bundle *b, const struct args *a, char user[64])
{
    const char *given = args_value(a, "user");
    char *text =
        given || !bundle_has(b, BUNDLE_USER) ? NULL : bundle_read(b, BUNDLE_USER, NULL, NULL);

    snprintf(user, 64, "%s", given ? given : text ? text : "root");
    user[strcspn(user, "\n")] = '\0';
    free(text);
}

static bool find(const struct bundle *b, const struct args *a, struct target *ret,
                 struct vz_error *err)
{
    int port = ssh_port(b, err);

    *ret = (struct target){NULL};
    if (port < 0)
        return false;
    agent_link_settle(b, LINK_FOREVER); /* a copy's keys are those of another guest before that */
    read_user(b, a, ret->user);
    if (asprintf(&ret->port, "-p%d", port) >= 0 &&
        asprintf(&ret->known_hosts, "-oUserKnownHostsFile=\"%s/known_hosts\"", b->path) >= 0 &&
        asprintf(&ret->alias, "-oHostKeyAlias=%s.vz", b->name) >= 0)
        return true;
    return fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
}

/* Becomes ssh; returns when that fails. */
static void become_ssh(const struct target *t, const struct args *a, char *const *command,
                       struct vz_error *err)
{
    const char *identity = args_value(a, "identity"), *word[WORDS_MAX + 16];
    unsigned n = 0;

    word[n++] = "ssh";
    word[n++] = t->port;
    word[n++] = t->known_hosts;
    word[n++] = t->alias;
    word[n++] = "-oStrictHostKeyChecking=accept-new";
    if (identity)
        word[n++] = "-i";
    if (identity)
        word[n++] = identity;
    word[n++] = "-l";
    word[n++] = t->user;
    word[n++] = "127.0.0.1";
    if (command[0])
        word[n++] = "--";
    for (unsigned i = 0; command[i] && i < WORDS_MAX; i++)
        word[n++] = command[i];
    word[n] = NULL;
    execvp("ssh", (char *const *)word);
    fail(err, VZ_ERROR_IO, "ssh: %s%s", strerror(errno),
         errno == ENOENT ? " (the package openssh-client has it)" : "");
}

static int ssh_main(int argc, char **argv)
{
    struct vz_error err = {.text = ""};
    struct target t = {NULL};
    int own = 0, status = EXIT_USAGE;
    struct bundle b;
    struct args a;

    while (own < argc && strcmp(argv[own], "--"))
        own++;
    if (args_parse(&ssh_command, own, argv, 0, 1, &a)) {
        status = OURS;
        if (machine_open(a.count ? a.word[0] : NULL, &b)) {
            if (find(&b, &a, &t, &err))
                become_ssh(&t, &a, argv + (own < argc ? own + 1 : argc), &err);
            cli_error("%s: %s", b.name, err.text);
            bundle_close(&b);
        }
    }
    free(t.port);
    free(t.known_hosts);
    free(t.alias);
    args_free(&a);
    return status;
}

const struct command ssh_command = {"ssh",
                                    ssh_main,
                                    NULL,
                                    ssh_options,
                                    "log in to a machine's guest by ssh",
                                    NULL,
                                    "[MACHINE] [-- COMMAND...]",
                                    "By a port of 127.0.0.1 that leads to the guest's port 22: one "
                                    "of vz forward, or a free one, which stays forwarded until "
                                    "the machine ends. The guest's host keys are kept in the "
                                    "machine's folder, and believed the first time. The status "
                                    "is ssh's: that of the command, or 255. A guest needs a "
                                    "network behind NAT and an ssh server; vz exec and vz shell "
                                    "need neither."};
