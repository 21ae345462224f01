/* SPDX-License-Identifier: MIT */
/* A stream of files as a guest may send it. Whatever it says, nothing appears outside the folder that
 * it was to come into, nothing half is left, and who refuses says why. */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent_tree.h"

struct memory {
    uint8_t *data;
    size_t at, len;
};

static ssize_t read_memory(void *arg, void *to, size_t len)
{
    struct memory *m = arg;

    len = MIN(len, m->len - m->at);
    memcpy(to, m->data + m->at, len);
    m->at += len;
    return (ssize_t)len;
}

static int write_memory(void *arg, const void *data, size_t len)
{
    struct memory *m = arg;

    if (len > m->len - m->at)
        return -28; /* ENOSPC */
    memcpy(m->data + m->at, data, len);
    m->at += len;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

static const char *base(void)
{
    static char path[64];

    if (!path[0])
        snprintf(path, sizeof(path), "/dev/shm/vz-fuzz-tree-%d", (int)getpid());
    return path;
}

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    const struct tree_options o = {.owners = index == 1, .contents = index == 2};
    struct memory m = {ret, 0, room};
    const struct tree_io io = {.write = write_memory, .arg = &m};
    char command[512];
    struct tree_result t;

    if (index > 2)
        return 0;
    snprintf(command, sizeof(command),
             "mkdir -p %1$s/a/b && echo 1 >%1$s/a/b/f && ln -s f %1$s/a/l && truncate -s 1M %1$s/a/h && "
             "echo 2 >>%1$s/a/h", base());
    if (system(command))
        abort();
    snprintf(command, sizeof(command), "%s/a", base());
    if (tree_send(command, &o, &io, &t) < 0)
        m.at = 0;
    nftw(base(), remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return m.at;
}

static unsigned count(const char *path)
{
    DIR *d = opendir(path);
    unsigned n = 0;

    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memory m = {(uint8_t *)data, 0, size};
    const struct tree_io io = {.read = read_memory, .arg = &m};
    const struct tree_options o = {.owners = false, .into = size & 1};
    struct tree_result t;
    char path[128];
    int r;

    mkdir(base(), 0700);
    snprintf(path, sizeof(path), "%s/in", base());
    mkdir(path, 0700);
    r = tree_receive(path, &o, &io, &t);
    if (r < 0 && !t.text[0])
        abort();
    if (count(base()) != 3) /* . .. in */
        abort();
    nftw(base(), remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
