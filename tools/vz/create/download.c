/* SPDX-License-Identifier: MIT */
/* Downloads by libcurl. What has come of a file is PATH.part, and goes on from there the next time if the
 * server still has the same one (If-Range); complete and checked it becomes PATH. What the server calls
 * this version of it (ETag or Last-Modified) is beside it, in a file whose name ends in .tag. */
#include "create/create.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>


#include "create/curl_library.h"
#include "create/glib_library.h"
#include "failure.h"
#include "progress.h"

#define TAG_MAX     256
#define STALL_S     60L /* with less than one byte a second */
#define TRIES       4u

struct load {
    const char *url, *path;
    char *part, *part_tag, *tag; /* names */
    int fd;                      /* of part */
    uint64_t had;                /* of it at the beginning of this try */
    CURL *curl;
    bool answered;               /* the first bytes of a body that is wanted came */
    bool disk_failed;            /* errno is kept */
    int disk_errno;
    char came_tag[TAG_MAX];
    struct progress progress;
};

/* ---- Tags ----------------------------------------------------------------------------------- */

static void read_tag(const char *path, char ret[TAG_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, ret, TAG_MAX - 1) : 0;

    ret[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

static void write_tag(const char *path, const char *tag)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    /* Without it all is loaded again next time, which is no failure. */
    if (fd >= 0 && write(fd, tag, strlen(tag)) < 0)
        unlink(path);
    if (fd >= 0)
        close(fd);
}

/* ---- curl's callbacks ----------------------------------------------------------------------- */

static void keep_header(struct load *l, const char *line, size_t len, const char *name)
{
    size_t skip = strlen(name);

    if (len <= skip || strncasecmp(line, name, skip))
        return;
    while (skip < len && line[skip] == ' ')
        skip++;
    while (len > skip && (line[len - 1] == '\r' || line[len - 1] == '\n'))
        len--;
    if (len - skip < TAG_MAX)
        snprintf(l->came_tag, TAG_MAX, "%.*s", (int)(len - skip), line + skip);
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct load *l = arg;
    size_t len = size * count;

    if (len > 5 && !strncmp(line, "HTTP/", 5))
        l->came_tag[0] = '\0'; /* of another answer, after a redirection */
    if (!l->came_tag[0] || l->came_tag[0] != '"')
        keep_header(l, line, len, "last-modified:");
    keep_header(l, line, len, "etag:");
    return len;
}

/* The whole file comes, or its rest. */
static bool begin_body(struct load *l)
{
    long code = 0;

    l->answered = true;
    libcurl.easy_getinfo(l->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code == 206)
        return true;
    l->had = 0;
    return ftruncate(l->fd, 0) == 0 && lseek(l->fd, 0, SEEK_SET) == 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct load *l = arg;
    size_t len = size * count, done = 0;
    bool ok = l->answered || begin_body(l);

    if (ok && l->came_tag[0]) {
        write_tag(l->part_tag, l->came_tag);
        l->came_tag[0] = '\0';
    }
    while (ok && done < len) {
        ssize_t n = write(l->fd, data + done, len - done);

        ok = n > 0 || (n < 0 && errno == EINTR);
        done += n > 0 ? (size_t)n : 0;
    }
    if (!ok) {
        l->disk_failed = true;
        l->disk_errno = errno;
    }
    return ok ? len : 0;
}

static int on_progress(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
    struct load *l = arg;

    if (!l->answered)
        return interrupt_came();
    return !progress_show(&l->progress, l->had + (uint64_t)now, total ? l->had + (uint64_t)total : 0);
}

/* ---- One try -------------------------------------------------------------------------------- */

static struct curl_slist *conditions(struct load *l, const char *complete_tag)
{
    char line[TAG_MAX + 32], tag[TAG_MAX];
    struct curl_slist *headers = NULL;

    if (complete_tag[0]) {
        snprintf(line, sizeof(line), "%s: %s",
                 strchr(complete_tag, '"') ? "If-None-Match" : "If-Modified-Since", complete_tag);
        return libcurl.slist_append(NULL, line);
    }
    read_tag(l->part_tag, tag);
    l->had = tag[0] && strncmp(tag, "W/", 2) ? (uint64_t)lseek(l->fd, 0, SEEK_END) : 0;
    if (l->had) {
        snprintf(line, sizeof(line), "If-Range: %s", tag);
        headers = libcurl.slist_append(NULL, line);
        /* Not by CURLOPT_RESUME_FROM, which takes the whole file for an error. */
        snprintf(line, sizeof(line), "Range: bytes=%llu-", (unsigned long long)l->had);
        headers = libcurl.slist_append(headers, line);
    }
    return headers;
}

static CURLcode try_once(struct load *l, const char *complete_tag, long *ret_code)
{
    struct curl_slist *headers = conditions(l, complete_tag);
    CURLcode r;

    l->answered = false;
    libcurl.easy_reset(l->curl);
    libcurl.easy_setopt(l->curl, CURLOPT_URL, l->url);
    libcurl.easy_setopt(l->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    libcurl.easy_setopt(l->curl, CURLOPT_FOLLOWLOCATION, 1L);
    libcurl.easy_setopt(l->curl, CURLOPT_MAXREDIRS, 10L);
    libcurl.easy_setopt(l->curl, CURLOPT_FAILONERROR, 1L);
    libcurl.easy_setopt(l->curl, CURLOPT_NOSIGNAL, 1L);
    libcurl.easy_setopt(l->curl, CURLOPT_CONNECTTIMEOUT, 30L);
    libcurl.easy_setopt(l->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    libcurl.easy_setopt(l->curl, CURLOPT_LOW_SPEED_TIME, STALL_S);
    libcurl.easy_setopt(l->curl, CURLOPT_USERAGENT, "vz/" VZ_VERSION);
    libcurl.easy_setopt(l->curl, CURLOPT_HEADERFUNCTION, on_header);
    libcurl.easy_setopt(l->curl, CURLOPT_HEADERDATA, l);
    libcurl.easy_setopt(l->curl, CURLOPT_WRITEFUNCTION, on_body);
    libcurl.easy_setopt(l->curl, CURLOPT_WRITEDATA, l);
    libcurl.easy_setopt(l->curl, CURLOPT_NOPROGRESS, 0L);
    libcurl.easy_setopt(l->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    libcurl.easy_setopt(l->curl, CURLOPT_XFERINFODATA, l);
    libcurl.easy_setopt(l->curl, CURLOPT_HTTPHEADER, headers);
    r = libcurl.easy_perform(l->curl);
    *ret_code = 0;
    libcurl.easy_getinfo(l->curl, CURLINFO_RESPONSE_CODE, ret_code);
    libcurl.slist_free_all(headers);
    return r;
}

/* Worth another try: it broke off in the middle. */
static bool broke_off(CURLcode r)
{
    return r == CURLE_PARTIAL_FILE || r == CURLE_RECV_ERROR || r == CURLE_OPERATION_TIMEDOUT ||
           r == CURLE_GOT_NOTHING || r == CURLE_HTTP2_STREAM;
}

static bool load(struct load *l, const char *complete_tag, bool *ret_unchanged, struct vz_error *err)
{
    CURLcode r = CURLE_OK;
    long code = 0;

    for (unsigned i = 0; i < TRIES; i++) {
        r = try_once(l, complete_tag, &code);
        if (r == CURLE_HTTP_RETURNED_ERROR && code == 416 && l->had) { /* what we have is no part of it */
            unlink(l->part_tag);
            continue;
        }
        if (l->disk_failed || interrupt_came() || !broke_off(r))
            break;
        sleep(1);
    }
    progress_end(&l->progress);
    *ret_unchanged = r == CURLE_OK && code == 304;
    errno = l->disk_errno;
    if (l->disk_failed)
        return fail_errno(err, l->part) == 0;
    if (interrupt_came())
        return fail_false(err, VZ_ERROR_CANCELLED, "interrupted; what has come is kept");
    if (r != CURLE_OK && code >= 400)
        return fail_false(err, VZ_ERROR_NETWORK, "%.150s: the server says %ld", l->url, code);
    if (r != CURLE_OK)
        return fail_false(err, VZ_ERROR_NETWORK, "%.150s: %s", l->url, libcurl.easy_strerror(r));
    return true;
}

/* ---- Checksums ------------------------------------------------------------------------------ */

static bool parse_checksum(const char *text, GChecksumType *ret_type, const char **ret_hex,
                           struct vz_error *err)
{
    static const struct {
        const char *prefix;
        GChecksumType type;
        size_t digits;
    } kinds[] = {{"sha256:", G_CHECKSUM_SHA256, 64}, {"sha512:", G_CHECKSUM_SHA512, 128}};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t len = strlen(kinds[i].prefix);

        if (strncmp(text, kinds[i].prefix, len))
            continue;
        *ret_type = kinds[i].type;
        *ret_hex = text + len;
        if (strlen(*ret_hex) == kinds[i].digits &&
            strspn(*ret_hex, "0123456789abcdefABCDEF") == kinds[i].digits)
            return true;
    }
    return fail_false(err, VZ_ERROR_INVALID, "--checksum: expected sha256: and 64 hexadecimal digits, or "
                                             "sha512: and 128");
}

static bool verify(const char *path, const char *checksum, struct vz_error *err)
{
    unsigned char data[65536];
    GChecksumType type;
    const char *hex;
    GChecksum *sum;
    ssize_t n = 0;
    bool same;
    int fd;

    if (!checksum)
        return true;
    if (!parse_checksum(checksum, &type, &hex, err) || !glib_library_load(err))
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    sum = libglib.checksum_new(type);
    while (fd >= 0 && (n = read(fd, data, sizeof(data))) > 0)
        libglib.checksum_update(sum, data, n);
    same = fd >= 0 && n == 0 && !strcasecmp(libglib.checksum_get_string(sum), hex);
    libglib.checksum_free(sum);
    if (fd >= 0)
        close(fd);
    return same || fail_false(err, VZ_ERROR_INVALID, "%.180s: has another checksum", path);
}

/* ---- The whole ------------------------------------------------------------------------------ */

static bool settle(struct load *l, const char *checksum, struct vz_error *err)
{
    if (!verify(l->part, checksum, err)) {
        unlink(l->part); /* the next time from its beginning */
        unlink(l->part_tag);
        return false;
    }
    if (fsync(l->fd) < 0 || rename(l->part, l->path) < 0)
        return fail_errno(err, l->path) == 0;
    if (rename(l->part_tag, l->tag) < 0)
        unlink(l->tag);
    return true;
}

static bool load_all(struct load *l, const char *checksum, struct vz_error *err)
{
    bool there = access(l->path, R_OK) == 0, unchanged = false;
    char tag[TAG_MAX] = "";

    if (there)
        read_tag(l->tag, tag);
    if (there && checksum && verify(l->path, checksum, NULL))
        return true; /* whatever the server says */
    if (!load(l, tag, &unchanged, err)) {
        if (!there || interrupt_came() || l->disk_failed || checksum)
            return false;
        cli_error("%s; taking what was loaded before", err->text);
        return true;
    }
    if (unchanged) {
        unlink(l->part);
        return verify(l->path, checksum, err);
    }
    return settle(l, checksum, err);
}

bool download(const char *url, const char *path, const char *checksum, struct vz_error *err)
{
    struct load l = {.url = url, .path = path, .fd = -1};
    GChecksumType type;
    const char *hex;
    bool ok = false;

    if (checksum && !parse_checksum(checksum, &type, &hex, err))
        return false;
    if (!curl_library_load(err))
        return false;
    if (asprintf(&l.part, "%s.part", path) < 0 || asprintf(&l.tag, "%s.tag", path) < 0 ||
        asprintf(&l.part_tag, "%s.part.tag", path) < 0)
        return fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
    progress_begin(&l.progress, url);
    l.fd = open(l.part, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    l.curl = libcurl.easy_init();
    if (l.fd < 0)
        fail_errno(err, l.part);
    else if (!l.curl)
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    else
        ok = load_all(&l, checksum, err);
    libcurl.easy_cleanup(l.curl);
    if (l.fd >= 0)
        close(l.fd);
    free(l.part);
    free(l.tag);
    free(l.part_tag);
    return ok;
}
