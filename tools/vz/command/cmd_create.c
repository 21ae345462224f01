/* SPDX-License-Identifier: MIT */
/* `vz create MACHINE`: make a machine's folder. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/draft.h"
#include "create/create.h"
#include "failure.h"
#include "progress.h"

static const struct opt create_options[] = {
    {"from", 0, OPT_ALWAYS, "debian[:SUITE]|IMAGE|ISO|URL", "What is on it",
     "what the machine's disk has: Debian from the host's package sources, or a disk image, raw or qcow2",
     "Debian is made by mmdebstrap, and the first time takes a minute or two; a system without wishes below "
     "is kept in ~/.cache/vz and copied. An image must have a Linux kernel and its initrd in /boot of "
     "an ext4 file system, or, with --efi, a boot loader for UEFI. Of a CD image (ISO) the machine gets a copy, UEFI firmware, an empty disk of "
     "20 GiB and a display: its installer runs until there is something on the disk. What comes from a URL is kept too, and asked for again only if it has changed.", 1},
    {"disk", 0, OPT_ALWAYS, "SIZE|PATH[,...]", "What is on it",
     "how large the machine's disk is; or one more disk, as for vz run",
     "Room is taken as the guest writes. A file whose name looks like a size is ./NAME.", 0},
    {"checksum", 0, OPT_ALWAYS, "sha256:HEX|sha512:HEX", "What is on it", "what comes from a URL must have it",
     NULL, 1},
    {"user", 0, OPT_ALWAYS, "NAME", "Who uses it",
     "a user who may become root, with sudo", "In Debian such a user logs in on the console without a password.", 1},
    {"ssh-key", 0, OPT_ALWAYS, "FILE", "Who uses it",
     "public keys by which the user may log in by ssh; in Debian without a user, root", NULL, 1},
    {"password-file", 0, OPT_ALWAYS, "FILE", "Who uses it", "the user's password is the first line of this file",
     "It is in the machine's folder then, readable by you only, where cloud-init gets it.", 1},
    {"hostname", 0, OPT_ALWAYS, "NAME", "Who uses it", "the guest's name (default: the machine's)",
     NULL, 1},
    {"packages", 0, OPT_ALWAYS, "NAME,...", "Who uses it", "packages to install", NULL, 1},
    {"script", 0, OPT_ALWAYS, "FILE", "Who uses it", "root runs it at the end of the first start; it begins with #!", NULL,
     1},
    {"provision", 0, OPT_ALWAYS, "FILE", "Who uses it", "all of that, and more, by a JSON file",
     "Its members: username, fullName, password, logsInAutomatically, enablesRemoteLogin, sshKeys, hostname, locale, "
     "timezone, packages, script. In Debian cloud-init does it, which is installed for it.", 1},
    {.name = NULL}};

static const char *const provisions[] = {"user", "ssh-key", "password-file", "hostname", "packages", "script", "provision"};

static bool is_provision(const char *name)
{
    for (size_t i = 0; i < sizeof(provisions) / sizeof(provisions[0]); i++) {
        if (!strcmp(provisions[i], name))
            return true;
    }
    return false;
}

/* The first of them that was given; NULL: none. */
static const char *first_provision(const struct args *a)
{
    for (const struct given *g = a->given; g->opt; g++) {
        if (is_provision(g->opt->name))
            return g->opt->name;
    }
    return NULL;
}

/* Has the machine a seed disk for cloud-init? */
static bool is_seeded(const struct args *a, const struct source *source)
{
    return source && first_provision(a) && (!source->provisions || args_flag(a, "provision"));
}

/* The size that --disk says, or 0. */
static uint64_t disk_size(const struct args *a)
{
    uint64_t size = 0;

    for (const struct given *g = a->given; g->opt; g++) {
        if (!strcmp(g->opt->name, "disk"))
            (void)create_disk_size(g->value, &size);
    }
    return size;
}

static bool check(const struct args *a, const struct source *source, struct vz_error *err)
{
    if (!source && !disk_size(a) && !args_flag(a, "kernel") && !args_flag(a, "boot-disk") &&
        !args_flag(a, "efi"))
        return fail_false(err, VZ_ERROR_INVALID,
                          "what is on it? --from debian, --from IMAGE, --kernel FILE or --efi (see 'vz create --help')");
    if (!source && first_provision(a))
        return fail_false(err, VZ_ERROR_INVALID, "--%s: goes with --from", first_provision(a));
    for (const struct given *g = a->given; args_flag(a, "provision") && g->opt; g++) {
        if (is_provision(g->opt->name) && strcmp(g->opt->name, "provision"))
            return fail_false(err, VZ_ERROR_INVALID, "--%s: is for --provision's file to say", g->opt->name);
    }
    if ((args_flag(a, "password-file") || (source && !source->provisions && args_flag(a, "ssh-key"))) && !args_flag(a, "user"))
        return fail_false(err, VZ_ERROR_INVALID, "--%s: whose? --user NAME says it",
                          args_flag(a, "password-file") ? "password-file" : "ssh-key");
    return true;
}

/* In the draft's folder, from where the source's path still has to mean what it meant. */
static bool make_disk(struct bundle *b, const struct args *a, const struct source *source,
                      struct vz_error *err)
{
    const char *from = args_value(a, "from");
    int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    char *path = source && source->make == image_make ? realpath(from, NULL) : NULL;
    uint64_t bytes = disk_size(a);
    bool ok = bundle_enter(b, err) == 0;

    if (ok && source)
        ok = source->make(b, path ? path : from, bytes, a, err);
    else if (ok && bytes)
        ok = vz_disk_create(CREATE_DISK, bytes, NULL, err) == 0;
    ok = ok && (here < 0 || fchdir(here) == 0);
    if (here >= 0)
        close(here);
    free(path);
    return ok;
}

static bool fill(struct bundle *b, const struct args *a, const struct source *source,
                 struct vz_error *err)
{
    bool has_disk = source || disk_size(a);
    const char *user = args_value(a, "user");
    struct vz_config *config;
    bool ok;

    /* What is wrong with wishes is known in a moment; a disk takes its time. */
    if ((is_seeded(a, source) && !seed_make(b, a, source->provisions, err)) || !make_disk(b, a, source, err) ||
        (user && bundle_write(b, BUNDLE_USER, user, strlen(user), err) < 0))
        return false;
    config = create_config(b, a, has_disk, source && !args_flag(a, "kernel") && !args_flag(a, "efi"), err);
    ok = config && bundle_enter(b, err) == 0 && vz_config_validate(config, NULL, NULL, err) == 0 &&
         bundle_set_config(b, config, err) == 0;
    vz_config_unref(config);
    if (ok && interrupt_came())
        return fail_false(err, VZ_ERROR_CANCELLED, "interrupted");
    return ok;
}

static int create(const struct args *a)
{
    const char *from = args_value(a, "from");
    const struct source *source = from ? source_of(from) : NULL;
    struct vz_error err = {.code = VZ_ERROR_NONE};
    struct bundle b;
    bool ok;

    if (!check(a, source, &err)) {
        cli_error("%s: %s", a->word[0], err.text);
        return EXIT_USAGE;
    }
    interrupt_catch();
    if (draft_begin(a->word[0], &b, &err) < 0) {
        cli_error("%s", err.text);
        return EXIT_FAILED;
    }
    ok = fill(&b, a, source, &err) && draft_publish(&b, &err) == 0;
    if (ok)
        bundle_close(&b);
    else
        draft_abandon(&b);
    interrupt_raise();
    if (!ok)
        cli_error("%s: %s", a->word[0], err.text);
    return ok ? EXIT_OK : EXIT_FAILED;
}

#define FILES_MAX 3u

/* Files are named from the working folder, and read from another one. What is allocated is in own. */
static bool make_absolute(struct args *a, char *own[FILES_MAX])
{
    static const char *const files[FILES_MAX] = {"ssh-key", "password-file", "script"};

    for (struct given *g = a->given; g->opt; g++) {
        for (unsigned i = 0; i < FILES_MAX; i++) {
            if (strcmp(g->opt->name, files[i]))
                continue;
            own[i] = realpath(g->value, NULL);
            if (!own[i]) {
                cli_error("--%s '%s': %s", files[i], g->value, strerror(errno));
                return false;
            }
            g->value = own[i];
        }
    }
    return true;
}

static int create_main(int argc, char **argv)
{
    struct opt *options = command_opts_new(&create_command);
    struct command c = create_command;
    int status = EXIT_USAGE;
    char *own[FILES_MAX] = {NULL};
    struct args a = {.given = NULL};

    c.options = options;
    if (!options)
        cli_no_memory();
    else if (args_parse(&c, argc, argv, 1, 1, &a))
        status = make_absolute(&a, own) ? create(&a) : EXIT_FAILED;
    for (unsigned i = 0; i < FILES_MAX; i++)
        free(own[i]);
    args_free(&a);
    command_opts_free(&create_command, options);
    return status;
}

const struct command create_command = {
    .name = "create", .main = create_main, .options = create_options,
    .text = "make a machine, in a folder of its own", .usage = "MACHINE --from WHAT", .more =
    "MACHINE is a name, and then the folder is MACHINE.vz in $VZ_HOME (by default ~/.local/share/vz); or the path of "
    "a folder, anywhere. The folder has all there is of the machine, and can be moved and copied. Without "
    "more words it has two CPUs, 1G of memory, a network card behind NAT, random numbers, a memory balloon, "
    "sockets and a console. It appears when it is whole; interrupted, nothing is left of it.",
    .has_machine_options = true};
