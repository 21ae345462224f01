/* SPDX-License-Identifier: MIT */
#include "net/resolv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLANKS " \t\r\n"

socklen_t resolv_server_len(const union resolv_server *s)
{
    return s->any.sa_family == AF_INET6 ? sizeof(s->v6) : sizeof(s->v4);
}

/* An address; one of IPv6 may name its interface, as fe80::1%eth0. */
static bool parse_server(const struct resolv *r, char *text, union resolv_server *ret)
{
    char *scope = strchr(text, '%');

    *ret = (union resolv_server){0};
    if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(r->port);
        return true;
    }
    if (scope)
        *scope++ = 0;
    if (inet_pton(AF_INET6, text, &ret->v6.sin6_addr) != 1)
        return false;
    ret->v6.sin6_family = AF_INET6;
    ret->v6.sin6_port = htons(r->port);
    if (scope)
        ret->v6.sin6_scope_id = if_nametoindex(scope) ? if_nametoindex(scope)
                                                      : (uint32_t)strtoul(scope, NULL, 10);
    return true;
}

/* Labels of 1 to 63 letters, digits, hyphens and what else people use, with dots between. */
static bool is_domain(const char *name)
{
    size_t len = strlen(name), label = 0;

    if (!len || len > RESOLV_NAME_MAX)
        return false;
    for (const char *s = name; *s; s++) {
        if (*s == '.' ? !label : *s <= ' ' || *s > '~' || label == 63)
            return false;
        label = *s == '.' ? 0 : label + 1;
    }
    return label != 0;
}

static void read_search(struct resolv *r, char **rest)
{
    char *name;

    r->search_count = 0; /* the last line counts */
    while ((name = strtok_r(NULL, BLANKS, rest)) && r->search_count < RESOLV_SEARCH_MAX) {
        size_t len = strlen(name);

        if (len > 1 && name[len - 1] == '.')
            name[len - 1] = 0;
        if (is_domain(name))
            strcpy(r->search[r->search_count++], name);
    }
}

static void read_line(struct resolv *r, char *line)
{
    char *rest, *word = strtok_r(line, BLANKS, &rest), *value;

    if (!word)
        return;
    if (!strcmp(word, "search") || !strcmp(word, "domain")) {
        read_search(r, &rest);
    } else if (!strcmp(word, "nameserver") && r->count < RESOLV_SERVERS_MAX) {
        value = strtok_r(NULL, BLANKS, &rest);
        if (value && parse_server(r, value, &r->server[r->count]))
            r->count++;
    }
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* As it is now; NULL: it is not there, or was seen already. *ret_same: it is as before, as far as that can be told. */
static FILE *open_changed(struct resolv *r, bool *ret_same)
{
    int fd = r->open ? r->open(r->arg) : open(r->path, O_RDONLY | O_CLOEXEC);
    bool kept_away = fd < 0 && !r->open && errno == EACCES;
    struct stat now = {0};
    FILE *f;

    if (fd >= 0 && fstat(fd, &now) < 0)
        now = (struct stat){0};
    /* A sandbox knows the file that was there: servers of before are better than none. */
    *ret_same = r->count && (kept_away || is_same(&now, &r->seen));
    r->seen = *ret_same ? r->seen : now;
    f = fd >= 0 && !*ret_same ? fdopen(fd, "r") : NULL;
    if (fd >= 0 && !f)
        close(fd);
    return f;
}

bool resolv_refresh(struct resolv *r)
{
    char line[1024], itself[] = "127.0.0.1";
    bool same;
    FILE *f = open_changed(r, &same);

    if (same)
        return false;
    r->count = r->search_count = 0;
    while (f && fgets(line, sizeof(line), f))
        read_line(r, line);
    if (f)
        fclose(f);
    if (!r->count)
        r->count = parse_server(r, itself, &r->server[0]);
    return true;
}
