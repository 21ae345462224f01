/* SPDX-License-Identifier: MIT */
/* Commands' options: what a machine consists of is in the library's tables. And those of `vz run` that
 * are about how it goes about it. */
#include <stdlib.h>
#include <string.h>

#include <vz/vz.h>

#include "cli.h"

#define OPTS_MAX 128u

const struct opt run_options[] = {
    {"config", 0, OPT_ALWAYS, "FILE", "Machine",
     "a whole machine in JSON, as --print-config prints it (-: from standard input)",
     "Other options change it or add devices to it.", 1},
    {"from", 0, OPT_ALWAYS, "MACHINE|IMAGE", "Machine",
     "a machine that was made before, by its name or its folder's path; or a disk image",
     "An image is started as by --boot-disk, or with --efi by its own boot loader. A machine runs here instead of in the "
     "background; with --ephemeral nothing of either is changed. Other options change it for this run or add to it; their "
     "relative paths mean its folder.", 1},
    {"fresh", 0, OPT_NEVER, NULL, "Machine",
     "boot the machine, where its warm state would do",
     "Of 'vz run --from MACHINE --ephemeral -- CMD', where no other option changes the machine, the first boots it and leaves "
     "what it is like then in its folder; later ones go on from there, in a fraction of a second, until its "
     "configuration or a disk of it changes. --share is no such option: each run brings its directories.", 0},
    {"keep", 0, OPT_ALWAYS, "NAME", "Machine",
     "with --from: run a clone of the machine, and keep it under this name",
     "It is off afterwards, with what was written to its disks, whatever the exit status. The machine that it is made from must not "
     "run at that moment.", 1},
    {"print-config", 0, OPT_NEVER, NULL, "Machine", "print the machine as JSON, and do not start it",
     "The status is 1 when it contradicts itself, so that it could be started nowhere; why goes to "
     "standard error.", 0},
    {"check", 0, OPT_NEVER, NULL, "Machine", "say what is wrong with the machine, and do not start it",
     "Files that do not open included. The status is 0 when nothing is wrong, and else 1.", 0},
    {"mac", 0, OPT_ALWAYS, "MAC", "Devices",
     "the address of the first --net that has none (default random)",
     "It brings along a network card behind NAT where there is no --net.", 0},
    {"provision", 0, OPT_ALWAYS, "FILE", "Machine",
     "set the guest up at its first start, by cloud-init: a user, keys, packages, ... as JSON in FILE (-: standard input)",
     "Members: fullName, username, password, logsInAutomatically, enablesRemoteLogin, sshKeys, hostname, locale, timezone, "
     "packages, script. It becomes a --seed that is in memory only.", 1},
    {"root", 0, OPT_ALWAYS, "DIR[,ro][,changes=DIR][,map=root|mine|same|UID:GID]", "Kernel",
     "a directory of this host is the guest's root: no disk is needed",
     "It is shared (docs/shares.md), with map=root unless something else is said. With ro nothing is written to it: what the guest "
     "writes is kept in its memory, or in the directory of changes. Kernel: the newest /boot/vmlinuz-VERSION of the directory, or "
     "--kernel, with its modules from the directory, from lib/modules beside the kernel's folder, or this host's. It needs virtiofs, of "
     "its own or as a module: without, the console says so, and the status is 3 (125 with a command). A root without an init, as "
     "images of containers are, gets a shell, or what stands behind --; the agent is brought along.", 1},
    {"vnc", 0, OPT_MAYBE, "[HOST:]PORT", "Devices",
     "show the machine's display to VNC clients and browsers (default 127.0.0.1, from port 5900 on)",
     "Address, password and the address of a page for one browser go to standard error. With no --display there is one.", 1},
    {"vnc-password-file", 0, OPT_ALWAYS, "PATH", "Devices",
     "with --vnc: a file whose first line is the password, of which VNC takes 8 characters (default a random one)", NULL, 1},
    {"vnc-tls", 0, OPT_MAYBE, "CERTIFICATE[,KEY]", "Devices",
     "with --vnc: nothing goes in plain; for clients that know VeNCrypt (X509), and browsers by https",
     "PEM files; the key may be in the certificate's. Without them vz makes a certificate once, and keeps it in "
     "~/.local/share/vz/vnc.pem. Its SHA-256 fingerprint goes to standard error: who connects should compare it.", 1},
    {"view", 0, OPT_NEVER, NULL, "Devices", "show the machine's display in a window",
     "By the program vz-view, with GTK 4. With no --display there is one. The window may be closed while the machine runs on.", 1},
    {"env", 0, OPT_ALWAYS, "NAME=VALUE", "Command", "set a variable of its environment; NAME alone: as it is here",
     NULL, 0},
    {"user", 0, OPT_ALWAYS, "USER[:GROUP]", "Command", "run it as this user of the guest (default root)", NULL, 1},
    {"stdin", 0, OPT_NEVER, NULL, "Command", "give it this input (it always has it, unless --no-stdin says otherwise)", NULL, 0},
    {"no-stdin", 0, OPT_NEVER, NULL, "Command", "give it no input", NULL, 0},
    {"cwd", 0, OPT_ALWAYS, "DIR", "Command", "run it in this folder of the guest (default the user's home)", NULL,
     1},
    {"debug-exit-pass", 0, OPT_ALWAYS, "N", "Ending",
     "as --debug-exit; and the byte N, by which the guest says that all is well, ends with 0",
     "Test programs have 16 for it by a common convention, and those of vz 0.", 0},
    {"timeout", 0, OPT_ALWAYS, "TIME", "Ending",
     "turn the machine off after so long (90s, 5m, 1h), with status 124", NULL, 0},
    {"stop", 0, OPT_ALWAYS, "TIME|now", "Ending",
     "how long the guest may take to shut down when vz is asked to end (default 30s)",
     "vz is asked by kill (SIGTERM), SIGHUP, SIGINT or Ctrl-A x. It presses the guest's power button, "
     "waits so long, and then turns the machine off. Asked again it does so at once, and at the first "
     "time too with now, or when the guest does not listen to its power button.", 0},
    {"restore", 0, OPT_ALWAYS, "FILE", "Saved states",
     "go on with the machine that was saved to FILE, in place of booting one",
     "Its configuration is in the file; other options change what the guest does not see of it (a file, "
     "a network), and what it does see is refused. Its disks must hold what they held then.", 1},
    {"save", 0, OPT_ALWAYS, "FILE", "Saved states",
     "save the machine to FILE when vz is asked to end, and do not ask the guest",
     "FILE is sealed: only this user on this host can restore it, by a key in ~/.local/share/vz, or "
     "whoever has the passphrase. When it cannot be written, the machine runs on, and the next time the "
     "guest is asked to shut down.", 1},
    {"save-compressed", 0, OPT_NEVER, NULL, "Saved states", "with --save: compress memory", NULL, 0},
    {"save-plain", 0, OPT_NEVER, NULL, "Saved states",
     "with --save: leave memory unsealed, so that a restore takes milliseconds whatever its size",
     "Who can read the file (mode 0600) can read the guest's memory, and it must not be changed while a machine "
     "that was restored from it runs.", 0},
    {"passphrase-file", 0, OPT_ALWAYS, "PATH", "Saved states",
     "with --save and --restore: a file whose first line is the passphrase", NULL, 1},
    {"sandbox", 0, OPT_ALWAYS, "on|off|log", "Ending",
     "have the machine's threads give up what they do not need: system calls, files, capabilities (default $VZ_SANDBOX, or on)",
     "What is opened while the machine runs, such as another shared directory, is opened as the user asks for it. By default "
     "there is none on a kernel without seccomp filters. log: refuse nothing, and tell on standard error what would be "
     "refused.", 0},
    {"run-as", 0, OPT_ALWAYS, "USER|root", "Ending",
     "as root: whose the threads are that need nothing of root's any more (default $VZ_RUN_AS, or nobody's but the machine's)",
     "They have the sandbox, and what they use is open. By default they get a number that no user has. Files of shared "
     "directories and saved states stay root's, and so does all with --jit direct.", 0},
    {"escape", 0, OPT_ALWAYS, "KEY", "Ending",
     "the key in place of Ctrl-A below: such as ctrl-b or ^], or none", NULL, 0},
    {"stats", 0, OPT_NEVER, NULL, "Ending", "print counters to standard error at the end",
     "And the addresses the guest had behind NAT.", 0},
    {"", 'm', OPT_ALWAYS, "N", "As in vftool", "--memory in megabytes, or with a unit", NULL, 0},
    {"", 't', OPT_ALWAYS, "0|1", "As in vftool", "--serial stdio, or --serial pty", NULL, 0},
    {.name = NULL}};

/* More than this are a mistake. */
static const struct {
    const char *name;
    unsigned max;
} limits[] = {{"net", 16}, {"console", 16}, {"forward", 64}};

struct table {
    const struct opt *own; /* the command's */
    struct opt *opt;
    unsigned count;
    bool failed;
};

static const char *copy(struct table *t, const char *text)
{
    char *c = text ? strdup(text) : NULL;

    t->failed = t->failed || (text && !c);
    return c;
}

/* With the default, where that says something. */
static const char *text_of(struct table *t, const struct vz_description *d)
{
    char text[512];

    if (!d->initial || !d->value)
        return copy(t, d->text);
    snprintf(text, sizeof(text), "%s (default %s)", d->text, d->initial);
    return copy(t, text);
}

/* A command's own option comes before the library's of that name. */
static bool has(const struct opt *own, const char *name)
{
    while (own->name && strcmp(own->name, name))
        own++;
    return own->name;
}

static void add(void *arg, const struct vz_description *d)
{
    struct table *t = arg;
    struct opt *o = &t->opt[t->count];

    if (d->kind != VZ_DESCRIBES_OPTION || t->count == OPTS_MAX || has(t->own, d->name))
        return;
    *o = (struct opt){.name = copy(t, d->name), .letter = d->letter, .value = copy(t, d->value),
                      .has_value = !d->value ? OPT_NEVER : d->optional ? OPT_MAYBE : OPT_ALWAYS,
                      .heading = copy(t, d->heading), .text = text_of(t, d),
                      .more = copy(t, d->more)};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        if (!strcmp(limits[i].name, d->name))
            o->max = limits[i].max;
    }
    t->count += o->name != NULL;
}

struct opt *command_opts_new(const struct command *c)
{
    struct table t = {.own = c->options};
    unsigned owned = 0;

    while (c->options[owned].name)
        owned++;
    t.opt = calloc(OPTS_MAX + owned + 1, sizeof(struct opt));
    if (!t.opt)
        return NULL;
    if (c->has_machine_options)
        vz_config_describe(add, &t);
    memcpy(&t.opt[t.count], c->options, owned * sizeof(struct opt));
    if (!t.failed)
        return t.opt;
    command_opts_free(c, t.opt);
    return NULL;
}

/* The command's own come behind all that was copied. */
void command_opts_free(const struct command *c, struct opt *table)
{
    for (struct opt *o = table; o && o->name && o->name != c->options[0].name; o++) {
        free((char *)o->name);
        free((char *)o->value);
        free((char *)o->heading);
        free((char *)o->text);
        free((char *)o->more);
    }
    free(table);
}
