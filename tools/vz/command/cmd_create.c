/* SPDX-License-Identifier: MIT */
/* `vz create MACHINE`: make a machine's folder. */
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
    {"from", 0, OPT_ALWAYS, "debian[:SUITE]|IMAGE|URL", "What is on it",
     "what the machine's disk has: Debian from the host's package sources, or a disk image, raw or qcow2",
     "Debian is made by mmdebstrap, and the first time takes a minute or two; a system without wishes below "
     "is kept in ~/.cache/vz and copied. Of an image there must be a Linux kernel and its initrd in /boot of "
     "an ext4 file system. What comes from a URL is kept too, and asked for again only if it has changed.", 1},
    {"disk", 0, OPT_ALWAYS, "SIZE|PATH[,...]", "What is on it",
     "how large the machine's disk is; or one more disk, as for vz run",
     "Room is taken as the guest writes. A file whose name looks like a size is ./NAME.", 0},
    {"checksum", 0, OPT_ALWAYS, "sha256:HEX|sha512:HEX", "What is on it", "what comes from a URL must have it",
     NULL, 1},
    {"user", 0, OPT_ALWAYS, "NAME", "What is on it",
     "Debian: a user who may become root, with sudo, and logs in on the console without a password", NULL, 1},
    {"ssh-key", 0, OPT_ALWAYS, "FILE", "What is on it",
     "Debian: a public key by which the user, or else root, may log in by ssh", NULL, 1},
    {"hostname", 0, OPT_ALWAYS, "NAME", "What is on it", "Debian: the guest's name (default debian)",
     NULL, 1},
    {"packages", 0, OPT_ALWAYS, "NAME,...", "What is on it", "Debian: packages to install", NULL, 1},
    {.name = NULL}};

static const char *const provisions[] = {"user", "ssh-key", "hostname", "packages"};

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
    if (!source && !disk_size(a) && !args_flag(a, "kernel") && !args_flag(a, "boot-disk"))
        return fail_false(err, VZ_ERROR_INVALID,
                          "what is on it? --from debian, --from IMAGE or --kernel FILE (see 'vz create --help')");
    for (size_t i = 0; i < sizeof(provisions) / sizeof(provisions[0]); i++) {
        if (args_flag(a, provisions[i]) && (!source || !source->provisions))
            return fail_false(err, VZ_ERROR_INVALID, "--%s: is for --from debian; other images bring their "
                              "own", provisions[i]);
    }
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
    struct vz_config *config;
    bool ok;

    if (!make_disk(b, a, source, err))
        return false;
    config = create_config(b, a, has_disk, source && !args_flag(a, "kernel"), err);
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

static int create_main(int argc, char **argv)
{
    struct opt *options = command_opts_new(&create_command);
    struct command c = create_command;
    int status = EXIT_USAGE;
    struct args a = {.given = NULL};

    c.options = options;
    if (!options)
        cli_no_memory();
    else if (args_parse(&c, argc, argv, 1, 1, &a))
        status = create(&a);
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
