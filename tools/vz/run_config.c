/* SPDX-License-Identifier: MIT */
/* From the command line of `vz run` to a configuration. What an option does to it is the library's
 * business (vz_config_add()); here is in which order they are applied, and what goes with what. That
 * the whole makes sense is for vz_config_validate(). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/clone.h"
#include "bundle/config_json.h"
#include "bundle/draft.h"
#include "cli.h"
#include "root/run_root.h"

bool run_options_flag(const struct run_options *o, const char *name)
{
    return opts_given(o->given, name);
}

static const char *value_of(const struct run_options *o, const char *name)
{
    const struct given *g = opts_given(o->given, name);

    return g ? g->value : NULL;
}

/* ---- The configuration it starts from ------------------------------------------------------- */

static const char *name_of(const char *path)
{
    return strcmp(path, "-") ? path : "standard input";
}

static struct vz_config *from_file(const char *path)
{
    struct vz_error err;
    struct vz_config *c;
    size_t len;
    char *text = cli_read_file(path, &len, &err);

    if (!text) {
        cli_error("%s", err.text);
        return NULL;
    }
    c = vz_config_from_json(text, len, &err);
    if (!c)
        cli_error("%s: %s", name_of(path), err.text);
    free(text);
    return c;
}

/* ---- Options -------------------------------------------------------------------------------- */

static bool apply(const struct run_options *o, const char *name, const char *value)
{
    struct vz_error err = {.text = "out of memory"};

    if (vz_config_add(o->config, name, value, &err) == 0)
        return true;
    if (value)
        cli_error("--%s '%s': %s", name, value, err.text);
    else
        cli_error("--%s: %s", name, err.text);
    return false;
}

/* vftool's -m: megabytes, unless a unit says otherwise. */
static bool apply_megabytes(const struct run_options *o, const char *value)
{
    bool plain = value[0] && strspn(value, "0123456789") == strlen(value);
    char text[64];

    snprintf(text, sizeof(text), "%.32s%s", value, plain ? "M" : "");
    return apply(o, "memory", text);
}

/* vftool's -t. */
static bool apply_terminal(const struct run_options *o, const char *value)
{
    if (strcmp(value, "0") && strcmp(value, "1")) {
        cli_error("-t '%s': expected 0 (standard input and output) or 1 (a pty)", value);
        return false;
    }
    return apply(o, "serial", value[0] == '0' ? "stdio" : "pty");
}

/* Standard input and output belong to COM1, unless something else was given them. */
static bool apply_serial(const struct run_options *o)
{
    bool given = false;

    for (const struct given *g = o->given; g->opt; g++) {
        if (!strcmp(g->opt->name, "serial") && !apply(o, "serial", g->value))
            return false;
        if (g->opt->letter == 't' && !apply_terminal(o, g->value))
            return false;
        given = given || !strcmp(g->opt->name, "serial") || g->opt->letter == 't' ||
                (!strcmp(g->opt->name, "console") && !strcmp(g->value, "stdio"));
    }
    if (!given && o->has_program)
        return apply(o, "serial", "null");
    return given || run_options_flag(o, "config") || (run_options_flag(o, "from") && !o->is_image) ||
           o->saved.restore || apply(o, "serial", "stdio");
}

static bool has_mac(const char *value)
{
    return strstr(value, ",mac=");
}

/* --mac is for the first card that does not say its own. */
static bool apply_net(const struct run_options *o, const char *value, const char **mac)
{
    char *text;
    bool ok;

    if (!*mac || has_mac(value))
        return apply(o, "net", value);
    if (asprintf(&text, "%s,mac=%s", value, *mac) < 0)
        return cli_no_memory();
    ok = apply(o, "net", text);
    free(text);
    *mac = NULL;
    return ok;
}

static bool apply_nets(const struct run_options *o)
{
    const char *mac = value_of(o, "mac");
    struct vz_mac_address address;

    if (mac && vz_mac_address_parse(mac, &address) < 0) {
        cli_error("--mac '%s': expected a MAC address like 02:00:00:00:00:01", mac);
        return false;
    }
    for (const struct given *g = o->given; g->opt; g++) {
        if (!strcmp(g->opt->name, "net") && !apply_net(o, g->value, &mac))
            return false;
    }
    if (mac && run_options_flag(o, "net")) {
        cli_error("--mac: every network card has a MAC address already");
        return false;
    }
    return !mac || apply_net(o, "nat", &mac);
}

/* Those whose order matters are applied by themselves, --forward and --ephemeral at last. */
static bool is_special(const struct opt *o)
{
    static const char *const names[] = {"config", "from", "provision", "print-config", "check", "stats", "mac",
                                        "serial", "net", "forward", "ephemeral", "restore",
                                        "save", "save-compressed", "save-plain", "passphrase-file",
                                        "fresh", "keep", "env", "user", "cwd", "stdin", "no-stdin", "sandbox", "run-as",
                                        "vnc", "vnc-password-file", "vnc-tls", "view", "root"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!strcmp(o->name, names[i]))
            return true;
    }
    return run_life_has(o->name) || (!o->name[0] && o->letter == 't');
}

/* The seed has a password in it: it is in no file. */
static bool apply_provision(const struct run_options *o, const char *file)
{
    char *form, *data = NULL, path[64];
    int fd = memfd_create("vz-user-data", MFD_CLOEXEC);
    struct vz_error err = {.text = ""};
    size_t len = 0;
    bool ok = false;

    form = fd < 0 ? NULL : cli_read_file(file, &len, &err);
    data = form ? vz_provisioning_user_data_from_json(form, len, &err) : NULL;
    if (data && write(fd, data, strlen(data)) == (ssize_t)strlen(data)) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* open until the process ends */
        ok = apply(o, "seed", path);
    } else if (form) {
        cli_error("--provision '%s': %s", file, data ? strerror(errno) : err.text);
    } else {
        cli_error("--provision: %s", fd < 0 ? strerror(errno) : err.text);
    }
    free(form);
    free(data);
    return ok;
}

/* Is there something that only the guest's agent does? It is reached by a socket device. */
static bool needs_agent(const struct run_options *o)
{
    const char *foreign = value_of(o, "foreign");

    return o->has_program || (foreign && strcmp(foreign, "none"));
}

static bool apply_all(struct run_options *o)
{
    /* A kernel comes with an initrd and a command line of its own. */
    if (run_options_flag(o, "kernel") || run_options_flag(o, "boot-disk") || run_options_flag(o, "root"))
        vz_config_set_boot_loader(o->config, NULL);
    if (!apply_serial(o))
        return false;
    for (const struct given *g = o->given; g->opt; g++) {
        if (is_special(g->opt))
            continue;
        if (g->opt->name[0] ? !apply(o, g->opt->name, g->value) : !apply_megabytes(o, g->value))
            return false;
    }
    if (run_options_flag(o, "root") && !run_root_apply(o, value_of(o, "root")))
        return false;
    if (run_options_flag(o, "provision") && !apply_provision(o, value_of(o, "provision")))
        return false;
    if (!apply_nets(o) || (needs_agent(o) && !run_options_flag(o, "vsock") && !apply(o, "vsock", "cid=3")))
        return false;
    for (const struct given *g = o->given; g->opt; g++) {
        if (!strcmp(g->opt->name, "forward") && !apply(o, "forward", g->value))
            return false;
    }
    if (run_options_flag(o, "ephemeral") && !run_warm_suits(o) && !apply(o, "ephemeral", NULL))
        return false;
    if (o->life.has_pass && !apply(o, "debug-exit", NULL))
        return false;
    if (run_options_flag(o, "jit"))
        vz_config_set_interpret_only(o->config, false);
    return true;
}

static bool check_combination(const struct run_options *o)
{
    bool kernel = run_options_flag(o, "kernel"), initrd = run_options_flag(o, "initrd");
    bool from = run_options_flag(o, "from");
    bool config = run_options_flag(o, "config") || run_options_flag(o, "restore") || from;
    bool module = run_options_flag(o, "module");

    if (run_options_flag(o, "keep") && (!from || run_options_flag(o, "ephemeral")))
        cli_error(from ? "--keep and --ephemeral: is it to be kept, or not?" : "--keep goes with --from, which is missing");
    else if (from && (run_options_flag(o, "config") || run_options_flag(o, "restore")))
        cli_error("--from and --%s: the machine has a configuration", run_options_flag(o, "config") ? "config" : "restore");
    else if (run_options_flag(o, "boot-disk") && (kernel || initrd || module))
        cli_error("--%s and --boot-disk: the kernel and initrd are the disk's",
                  kernel ? "kernel" : initrd ? "initrd" : "module");
    else if (run_options_flag(o, "efi") && (kernel || run_options_flag(o, "boot-disk")))
        cli_error("--%s and --efi: firmware finds the kernel itself", kernel ? "kernel" : "boot-disk");
    else if (run_options_flag(o, "root") && (initrd || run_options_flag(o, "boot-disk") || run_options_flag(o, "efi")))
        cli_error("--root and --%s: the directory's kernel is started, by an initrd of its own",
                  initrd ? "initrd" : run_options_flag(o, "efi") ? "efi" : "boot-disk");
    else if (kernel || run_options_flag(o, "boot-disk") || run_options_flag(o, "efi") || run_options_flag(o, "root"))
        return true;
    else if (initrd || module || run_options_flag(o, "cmdline"))
        cli_error("--%s goes with --kernel, which is missing%s (see 'vz run --help')",
                  initrd ? "initrd" : module ? "module" : "cmdline",
                  config ? ": the configuration's own kernel has its own" : "");
    else if (config)
        return true;
    else
        cli_error("nothing to run: give --kernel FILE, --boot-disk PATH, --root DIR, --efi, --from MACHINE, --config FILE "
                  "or --restore FILE (see 'vz run --help')");
    return false;
}

/* A clone, which is a machine before it runs. */
static bool from_clone(struct run_options *o, const char *machine, const char *name)
{
    struct bundle from;
    struct vz_config *config = NULL;
    struct vz_error err = {.text = ""};

    if (bundle_open(machine, &from, &err) < 0) {
        cli_error("%s", err.text);
        return false;
    }
    if (bundle_lock(&from, BUNDLE_RUN, &err) == 0 && bundle_lock(&from, BUNDLE_CHANGE, &err) == 0 &&
        draft_begin(name, &o->bundle, &err) == 0) {
        o->has_bundle = o->is_new = true;
        if (clone_fill(&from, &o->bundle, false, NULL, NULL, &err) == 0)
            config = bundle_config(&o->bundle, &err);
        if (config)
            o->config = config_absolute(config, o->bundle.path, NULL, &err);
    }
    vz_config_unref(config);
    bundle_close(&from);
    if (!o->config)
        cli_error("%s", err.text);
    return o->config;
}

/* It is a machine from now on, before anything runs: whatever happens to us then, what its guest has written stays. */
static bool publish_clone(struct run_options *o)
{
    struct vz_error err;

    if (!o->is_new || draft_publish(&o->bundle, &err) == 0)
        return true;
    cli_error("%s: %s", o->bundle.name, err.text);
    return false;
}

/* It has not run, and nobody has seen it. */
static void drop_clone(struct run_options *o)
{
    struct vz_error err;

    if (o->bundle.draft)
        draft_abandon(&o->bundle);
    else if (bundle_remove(&o->bundle, &err) < 0)
        cli_error("%s: %s", o->bundle.name, err.text);
}

/* Where nothing of it is kept its disks' own locks are enough; they may be shared then. */
static bool from_machine(struct run_options *o, const char *machine)
{
    bool ephemeral = run_options_flag(o, "ephemeral");
    struct vz_config *config = NULL; /* whose relative paths mean its folder; those of options do not */
    struct vz_error err = {.text = ""};

    if (bundle_open(machine, &o->bundle, &err) == 0) {
        o->has_bundle = true;
        if (ephemeral || bundle_lock(&o->bundle, BUNDLE_RUN, &err) == 0)
            config = bundle_config(&o->bundle, &err);
        if (config)
            o->config = config_absolute(config, o->bundle.path, NULL, &err);
        vz_config_unref(config);
    }
    if (!o->config)
        cli_error("%s", err.text);
    return o->config;
}

/* A file, unless a machine has that name. */
static bool is_image(const char *name)
{
    char *machine = strchr(name, '/') ? NULL : bundle_path_of(name, NULL);
    struct stat st;
    bool is = (!machine || access(machine, F_OK) < 0) && stat(name, &st) == 0;

    is = is && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));

    free(machine);
    return is;
}

/* With as little of a machine as there can be around it. */
static bool from_image(struct run_options *o, const char *image)
{
    struct vz_error err = {.text = "out of memory"};
    char *path = malloc(2 * strlen(image) + 1), *to = path;
    bool ok;

    for (const char *at = image; path && *at; at++) {
        if (*at == ',') /* as an option's value has it */
            *to++ = ',';
        *to++ = *at;
    }
    if (path)
        *to = '\0';
    o->config = path ? vz_config_new(NULL, &err) : NULL;
    if (!o->config)
        cli_error("%s", err.text);
    o->is_image = true;
    ok = o->config && apply(o, run_options_flag(o, "efi") ? "disk" : "boot-disk", path);
    free(path);
    return ok;
}

static bool start_from(struct run_options *o)
{
    const char *file = value_of(o, "config"), *machine = value_of(o, "from");
    struct vz_error err = {.text = "out of memory"};

    if (machine && value_of(o, "keep"))
        return from_clone(o, machine, value_of(o, "keep"));
    if (machine && is_image(machine))
        return from_image(o, machine);
    if (machine)
        return from_machine(o, machine);
    if (!file && o->saved.restore)
        return (o->config = run_saved_config(&o->saved));
    o->config = file ? from_file(file) : vz_config_new(NULL, &err);
    if (!file && !o->config)
        cli_error("%s", err.text);
    return o->config;
}

bool run_options_parse(int argc, char **argv, struct run_options *o, int *ret_status)
{
    *ret_status = EXIT_FAILED;
    o->table = command_opts_new(&run_command);
    o->given = calloc((size_t)argc + 1, sizeof(*o->given));
    if (!o->table || !o->given)
        return cli_no_memory();
    *ret_status = EXIT_USAGE;
    if (!opts_parse(argc, argv, o->table, "vz run", o->given) || !check_combination(o) ||
        !run_life_parse(o->given, &o->life) || !run_saved_parse(o->given, &o->saved))
        return false;
    *ret_status = EXIT_FAILED;
    if (!start_from(o))
        return false;
    *ret_status = EXIT_USAGE;
    if (!apply_all(o))
        return false;
    *ret_status = EXIT_FAILED;
    return publish_clone(o);
}

void run_options_free(struct run_options *o)
{
    command_opts_free(&run_command, o->table);
    free(o->given);
    vz_config_unref(o->config);
    vz_config_unref(o->cold);
    free(o->warm);
    if (o->is_new && !o->has_run)
        drop_clone(o);
    else if (o->has_bundle)
        bundle_close(&o->bundle);
}
