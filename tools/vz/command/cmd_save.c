/* SPDX-License-Identifier: MIT */
/* `vz save MACHINE` and `vz restore MACHINE`. */
#include <fcntl.h>
#include <unistd.h>

#include "bundle/saved_file.h"
#include "command/machine_start.h"
#include "command/machine_stop.h"
#include "command/state_travel.h"

static const struct opt save_options[] = {
    {"to", 0, OPT_ALWAYS, "FILE", "Options", "into this file, and not into the machine's folder",
     "It fits the machine's disks as they are then: keep those as they are, or a copy of them, for 'vz restore "
     "--from FILE'.", 1},
    {"passphrase-file", 0, OPT_ALWAYS, "PATH", "Options",
     "seal it by a passphrase, the first line of this file, so that it can be restored by others and on other hosts",
     NULL, 1},
    {"compress", 0, OPT_NEVER, NULL, "Options", "make the file some three times smaller, and slower",
     "It is sealed then, too.", 0},
    {"seal", 0, OPT_NEVER, NULL, "Options", "seal its memory, so that no other user and no other host can read it",
     "With a key in ~/.local/share/vz. Going on from it takes longer, since it is read at once.", 0},
    {.name = NULL}};
static const struct opt restore_options[] = {
    {"from", 0, OPT_ALWAYS, "FILE", "Options", "go on from this file, which stays",
     "Of 'vz save --to'. The machine's disks must be what they were then; where their files have been written since, it "
     "is refused.", 1},
    {"passphrase-file", 0, OPT_ALWAYS, "PATH", "Options", "its passphrase is the first line of this file", NULL, 1},
    {"force", 0, OPT_NEVER, NULL, "Options", "with --from: whatever the disks' files say", NULL, 0},
    {.name = NULL}};

/* Of PASSPHRASE_MAX bytes; or NULL: none. False after cli_error(). */
static bool passphrase_of(const struct args *a, char *buffer, char **ret)
{
    const char *file = args_value(a, "passphrase-file");

    *ret = file ? buffer : NULL;
    return !file || run_saved_passphrase(file, buffer);
}

static bool is_one(const struct args *a, const char *option)
{
    if (!args_value(a, option) || a->count == 1)
        return true;
    cli_error("--%s is for one machine", option);
    return false;
}

static bool save_machine(struct bundle *b, const struct args *a)
{
    struct saving_manner how = {.seal = args_flag(a, "seal"), .compress = args_flag(a, "compress")};
    const char *to = args_value(a, "to");
    char passphrase[PASSPHRASE_MAX], *word;
    int cwd = to ? open(".", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1; /* names mean the folder of now */
    bool ok = is_one(a, "to") && passphrase_of(a, passphrase, &word) && (!to || state_may_go(cwd, to));

    how.passphrase = ok ? word : NULL;
    ok = ok && machine_save(b, &how) && (!to || state_go(b, cwd, to));

    if (cwd >= 0)
        close(cwd);
    return ok;
}

/* What came with it goes again where it cannot be restored: the machine is as it was. */
static bool restore_from(struct bundle *b, const char *from, bool force, char *passphrase)
{
    int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct vz_error err = {.code = VZ_ERROR_NONE};
    bool ok = bundle_lock(b, BUNDLE_RUN, &err) == 0;

    if (!ok)
        cli_error("%s", err.text);
    ok = ok && state_come(b, cwd, from, force);
    if (ok && !machine_start_locked(b, passphrase)) {
        (void)saved_file_drop(b, &err);
        ok = false;
    }
    if (cwd >= 0)
        close(cwd);
    return ok;
}

static bool restore_machine(struct bundle *b, const struct args *a)
{
    const char *from = args_value(a, "from");
    char passphrase[PASSPHRASE_MAX], *word;

    if (!is_one(a, "from") || !passphrase_of(a, passphrase, &word))
        return false;
    if (from)
        return restore_from(b, from, args_flag(a, "force"), word);
    return machine_start_prepare(b, MACHINE_RESTORE) && machine_start_locked(b, word);
}

static int save_main(int argc, char **argv)
{
    return machine_each(&save_command, argc, argv, save_machine);
}

static int restore_main(int argc, char **argv)
{
    return machine_each(&restore_command, argc, argv, restore_machine);
}

const struct command save_command = {
    "save", save_main, NULL, save_options, "save running machines into their folders, and turn them off",
    NULL, "MACHINE...",
    "Memory, CPUs and devices go into saved.state, which only you can read. The next "
    "'vz start' goes on from there, and the guest does not notice but for the time. A machine that cannot "
    "be saved runs on, and the status is 1."};
const struct command restore_command = {
    "restore", restore_main, NULL, restore_options, "go on with machines that were saved", NULL,
    "MACHINE...",
    "As 'vz start', but a machine that was not saved is an error. The saved state is used up by it: from "
    "then on the disks change, and it would fit them no more. It stays where it cannot be restored."};
