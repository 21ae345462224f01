/* SPDX-License-Identifier: MIT */
/* What is read in a machine's folder, which may have been copied from anywhere: config.json, identity.json, last-run.json. It
 * is taken, or refused with a reason; and what was taken can be made another machine's and written again. */
#include "fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/bundle.h"
#include "bundle/config_json.h"
#include "bundle/identity.h"
#include "cli.h"
#include "control/last_run.h"

#define MACHINE                                                                                                        \
    "c{\"bootLoader\": {\"type\": \"linux\", \"kernel\": \"kernel\"}, \"networkDevices\": [{\"type\": \"virtioNet\", \"mac\": "  \
    "\"02:00:00:00:00:01\", \"attachment\": {\"type\": \"nat\", \"forwards\": [{\"hostPort\": 1, \"guestPort\": 2}]}}], "        \
    "\"platform\": {\"type\": \"generic\", \"machineIdentifier\": \"01234567-89ab-cdef-0123-456789abcdef\"}, "                   \
    "\"storageDevices\": [{\"type\": \"virtioBlock\", \"attachment\": {\"type\": \"diskImage\", \"path\": \"disk.img\"}}]}"

static const char *const seeds[] = {MACHINE, "i{\"hostname\": \"web\", \"all\": true}",
                                    "l{\"began\": 1, \"ended\": 2, \"reason\": \"poweroff\", \"text\": \"x\"}"};

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    return fuzz_seed_of(seeds, sizeof(seeds) / sizeof(seeds[0]), index, ret, room);
}

static void check(bool ok)
{
    if (!ok)
        abort();
}

/* main.c's, which is not linked. */
void cli_error(const char *fmt, ...)
{
}

/* ---- The folder ----------------------------------------------------------------------------- */

static struct bundle bundle = {.fd = -1, .lock_fd = -1, .name = "fuzz"};
static const char *const files[] = {BUNDLE_CONFIG, BUNDLE_IDENTITY, BUNDLE_LAST_RUN};

static void remove_folder(void)
{
    for (size_t i = 0; i < 3; i++)
        unlinkat(bundle.fd, files[i], 0);
    rmdir(bundle.path);
}

static void make_folder(void)
{
    char path[] = "/tmp/fuzz-bundle.XXXXXX";

    check(mkdtemp(path) != NULL);
    bundle.path = strdup(path);
    bundle.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    atexit(remove_folder);
}

static void put(const char *file, const uint8_t *data, size_t size)
{
    int fd = openat(bundle.fd, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

/* ---- Reading -------------------------------------------------------------------------------- */

static bool any_path(void *arg, json_t *object, const char *member, const char *path)
{
    ++*(unsigned *)arg;
    return true;
}

static void read_config(void)
{
    struct vz_error err = {.text = ""};
    struct vz_config *c = bundle_config(&bundle, &err), *absolute, *back;
    unsigned paths = 0;
    json_t *json;

    if (!c) {
        check(err.code && err.text[0]);
        return;
    }
    json = config_json(c, &err);
    check(json && config_paths(json, any_path, &paths));
    config_new_identity(json);
    absolute = config_absolute(c, "/some/where", NULL, &err);
    back = absolute ? config_relative(absolute, "/some/where", &err) : NULL;
    check(back != NULL);
    vz_config_unref(absolute);
    vz_config_unref(back);
    json_decref(json);
    vz_config_unref(c);
}

static void read_identity(void)
{
    struct identity id;

    if (identity_load(&bundle, &id))
        check(strlen(id.hostname) < sizeof(id.hostname));
}

static void read_last_run(void)
{
    json_t *last = last_run_load(&bundle);
    int status = last ? last_run_status(last) : 0;

    check(status == 0 || status == 1 || status == 3);
    json_decref(last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned which = !size ? 0 : data[0] == 'i' ? 1 : data[0] == 'l' ? 2 : 0;

    if (bundle.fd < 0)
        make_folder();
    put(files[which], data + (size > 0), size - (size > 0));
    if (which == 0)
        read_config();
    else if (which == 1)
        read_identity();
    else
        read_last_run();
    return 0;
}
