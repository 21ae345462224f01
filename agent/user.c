/* SPDX-License-Identifier: MIT */
/* Users, from the files themselves: a static program has no other source of names that works on every
 * system. */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "job.h"

#define LINE_MAX_ 8192

/* The index-th part of a line between colons, in place. */
static char *part(char *line, unsigned index)
{
    char *p = line;

    while (p && index--) {
        p = strchr(p, ':');
        p = p ? p + 1 : NULL;
    }
    return p;
}

static void split(char *line)
{
    for (; *line; line++) {
        if (*line == ':' || *line == '\n')
            *line = '\0';
    }
}

static bool as_number(const char *text, unsigned *ret)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);

    if (!*text || *end || *text < '0' || *text > '9' || v >= UINT32_MAX)
        return false;
    *ret = (unsigned)v;
    return true;
}

static bool copy(char *to, size_t room, const char *from)
{
    return (size_t)snprintf(to, room, "%s", from ? from : "") < room;
}

/* A line of /etc/passwd, if it is who is looked for. */
static bool take_user(char *line, const char *name, unsigned number, bool is_number,
                      struct user *ret)
{
    char *field[7];
    unsigned uid, gid;

    for (unsigned i = 0; i < 7; i++)
        field[i] = part(line, i);
    if (!field[6])
        return false;
    split(line);
    if (!as_number(field[2], &uid) || !as_number(field[3], &gid) ||
        (strcmp(field[0], name) && !(is_number && uid == number)))
        return false;
    ret->uid = uid;
    ret->gid = gid;
    return copy(ret->name, sizeof(ret->name), field[0]) &&
           copy(ret->home, sizeof(ret->home), *field[5] ? field[5] : "/") &&
           copy(ret->shell, sizeof(ret->shell), *field[6] ? field[6] : "/bin/sh");
}

static int find_user(const char *name, struct user *ret)
{
    FILE *f = fopen("/etc/passwd", "re");
    unsigned number = 0;
    bool is_number = as_number(name, &number), found = false;
    char line[LINE_MAX_];

    while (f && !found && fgets(line, sizeof(line), f))
        found = take_user(line, name, number, is_number, ret);
    if (f)
        fclose(f);
    if (found)
        return 0;
    /* A number needs no entry; and root is there before /etc is. */
    if (!is_number && strcmp(name, "root"))
        return -ENOENT;
    *ret = (struct user){.home = "/", .shell = "/bin/sh", .uid = number, .gid = number};
    copy(ret->name, sizeof(ret->name), name);
    return 0;
}

static bool is_member(const char *list, const char *name)
{
    size_t len = strlen(name);

    for (const char *p = list; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        if (!strncmp(p, name, len) && (p[len] == ',' || !p[len]))
            return true;
    }
    return false;
}

/* Calls take for each group of the system until it returns true. */
static bool each_group(bool (*take)(struct user *u, char *const field[4], const char *text),
                       struct user *u, const char *text)
{
    FILE *f = fopen("/etc/group", "re");
    char line[LINE_MAX_], *field[4];
    bool found = false;

    while (f && !found && fgets(line, sizeof(line), f)) {
        for (unsigned i = 0; i < 4; i++)
            field[i] = part(line, i);
        if (!field[3])
            continue;
        split(line);
        found = take(u, field, text);
    }
    if (f)
        fclose(f);
    return found;
}

static bool add_group(struct user *u, char *const field[4], const char *text)
{
    unsigned gid;

    if (as_number(field[2], &gid) && gid != u->gid && is_member(field[3], u->name) &&
        u->group_count < GROUPS_MAX)
        u->groups[u->group_count++] = gid;
    return false;
}

static bool take_group(struct user *u, char *const field[4], const char *text)
{
    unsigned gid;

    if (strcmp(field[0], text) || !as_number(field[2], &gid))
        return false;
    u->gid = gid;
    return true;
}

static int set_group(struct user *u, const char *text)
{
    unsigned gid;

    if (as_number(text, &gid))
        u->gid = gid;
    else if (!each_group(take_group, u, text))
        return -ENOENT;
    return 0;
}

int user_find(const char *text, struct user *ret)
{
    char name[128], self[16];
    char *group = NULL;
    int r;

    *ret = (struct user){.uid = 0};
    snprintf(self, sizeof(self), "%u", (unsigned)geteuid());
    if (!copy(name, sizeof(name), text && *text ? text : self))
        return -ENOENT;
    group = strchr(name, ':');
    if (group)
        *group++ = '\0';
    r = find_user(name, ret);
    if (r)
        return r;
    ret->groups[ret->group_count++] = ret->gid;
    each_group(add_group, ret, NULL);
    return group ? set_group(ret, group) : 0;
}

int user_become(const struct user *u)
{
    if (geteuid() && geteuid() == u->uid && getegid() == u->gid)
        return 0;
    if (setgroups(u->group_count, u->groups) < 0 || setresgid(u->gid, u->gid, u->gid) < 0 ||
        setresuid(u->uid, u->uid, u->uid) < 0)
        return -errno;
    return 0;
}
