/* SPDX-License-Identifier: MIT */
/* A machine from an image on the web: loaded into the cache, and then as any image. */
#include "create/create.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failure.h"
#include "progress.h"

bool url_is(const char *from)
{
    return !strncmp(from, "http://", 7) || !strncmp(from, "https://", 8);
}

/* FNV-1a: tells URLs apart whose last parts are the same. */
static uint64_t hash(const char *text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return h;
}

/* A file of the cache for it, with the name that the URL ends in: text for free(). */
static char *place_of(const char *url, struct vz_error *err)
{
    size_t len = strcspn(url, "?#");
    const char *last = url + len;
    char *cache = cache_path(err), *path = NULL;

    while (last > url && last[-1] != '/')
        last--;
    if (cache && asprintf(&path, "%s/%016llx-%.*s", cache, (unsigned long long)hash(url),
                          (int)(url + len - last > 128 ? 128 : url + len - last), last) < 0)
        path = NULL;
    free(cache);
    return path;
}

bool url_make(const struct bundle *draft, const char *from, uint64_t bytes, const struct args *a,
              struct vz_error *err)
{
    char *path = place_of(from, err);
    int lock = path ? cache_lock(path, err) : -1;
    bool ok = lock >= 0 && download(from, path, args_value(a, "checksum"), err) &&
              image_make(draft, path, bytes, a, err);

    if (lock >= 0)
        close(lock);
    free(path);
    return ok;
}
