/* SPDX-License-Identifier: MIT */
#include "command/machine_report.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vz/config.h>

#include "bundle/saved_file.h"
#include "control/client.h"
#include "control/last_run.h"

#define ANSWER_MS 3000 /* a process that does not answer by then is shown as such */
#define DEPTH_MAX 8

/* ---- What the folder says ------------------------------------------------------------------- */

/* What the files below take of the host's disk. */
static uint64_t disk_bytes(int folder, int depth)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    uint64_t bytes = 0;

    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        int sub;

        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
            fstatat(folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        bytes += (uint64_t)st.st_blocks * 512;
        if (!S_ISDIR(st.st_mode) || depth == DEPTH_MAX)
            continue;
        sub = openat(folder, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (sub >= 0) {
            bytes += disk_bytes(sub, depth + 1);
            close(sub);
        }
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return bytes;
}

static void add_config(json_t *report, const struct bundle *b)
{
    struct vz_error err;
    json_t *j = bundle_config_as_is(b, &err);

    if (j) {
        json_object_set(report, "cpus", json_object_get(j, "cpus"));
        json_object_set(report, "memoryBytes", json_object_get(j, "memory"));
        json_object_set(report, "configuration", j);
    } else {
        json_object_set_new(report, "problem", json_string(err.text));
    }
    json_decref(j);
}

/* ---- What its process says ------------------------------------------------------------------ */

static json_t *ask_info(const struct bundle *b)
{
    struct control_client c;
    json_t *info;

    if (client_open(b, &c, NULL) < 0)
        return NULL;
    client_set_timeout(&c, ANSWER_MS);
    info = client_call(&c, "info", NULL, NULL, NULL);
    client_close(&c);
    return info;
}

static void add_run(json_t *report, const struct bundle *b)
{
    bool running = bundle_is_running(b);
    json_t *info = running ? ask_info(b) : NULL, *last = last_run_load(b);

    if (!running)
        json_object_set_new(report, "state", json_string(saved_file(b) ? "saved" : "stopped"));
    else if (info)
        json_object_update(report, info);
    else
        json_object_set_new(report, "state", json_string("busy"));
    if (!running && last && json_object_get(last, "began") && !json_object_get(last, "ended"))
        json_object_set_new(last, "reason", json_string("killed"));
    if (!running && last)
        json_object_set(report, "lastRun", last);
    json_decref(info);
    json_decref(last);
}

json_t *machine_report(const struct bundle *b)
{
    json_t *report = json_pack("{s:s, s:s}", "name", b->name, "path", b->path);

    if (!report)
        return NULL;
    add_run(report, b);
    add_config(report, b);
    json_object_set_new(report, "diskBytes", json_integer((json_int_t)disk_bytes(b->fd, 0)));
    return report;
}

const char *machine_report_address(const json_t *report)
{
    size_t i;
    json_t *card;

    json_array_foreach(json_object_get(report, "networks"), i, card) {
        const char *ipv4 = json_string_value(json_object_get(card, "ipv4"));
        const char *ipv6 = json_string_value(json_object_get(card, "ipv6"));

        if (ipv4 || ipv6)
            return ipv4 ? ipv4 : ipv6;
    }
    return NULL;
}

/* ---- For people ----------------------------------------------------------------------------- */

const char *human_size(uint64_t bytes, char buffer[16])
{
    static const char units[] = "BKMGTPE";
    double v = (double)bytes;
    unsigned n = 0;

    for (; v >= 1000 && units[n + 1]; n++)
        v /= 1024;
    snprintf(buffer, 16, v < 9.95 && n && v != (int)v ? "%.1f%c" : "%.0f%c", v, units[n]);
    return buffer;
}

const char *human_time(double seconds, char buffer[16])
{
    if (seconds < 100)
        snprintf(buffer, 16, "%.0fs", seconds);
    else if (seconds < 100 * 60)
        snprintf(buffer, 16, "%.0fm", seconds / 60);
    else if (seconds < 48 * 3600)
        snprintf(buffer, 16, "%.0fh", seconds / 3600);
    else
        snprintf(buffer, 16, "%.0fd", seconds / 86400);
    return buffer;
}
