/* SPDX-License-Identifier: MIT */
/* watches PATH: what inotify tells of it, a line each: event, path, and a name in it if there is one. */
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static const struct {
        uint32_t mask;
        char letter;
    } events[] = {{IN_MODIFY, 'c'}, {IN_CLOSE_WRITE, 'w'}, {IN_ATTRIB, 'e'}, {IN_CREATE, 'n'},
                  {IN_DELETE, 'd'}, {IN_MOVED_FROM, 'm'}, {IN_MOVED_TO, 'y'}};
    _Alignas(struct inotify_event) char buffer[4096];
    uint32_t all = 0;
    int fd = inotify_init1(0);
    ssize_t n;

    for (unsigned i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        all |= events[i].mask;
    if (argc < 2 || inotify_add_watch(fd, argv[1], all) < 0) {
        perror("watches");
        return 1;
    }
    while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
        for (char *at = buffer; at < buffer + n;) {
            const struct inotify_event *e = (void *)at;

            for (unsigned i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
                if (e->mask & events[i].mask)
                    printf(e->len ? "%c\t%s\t%s\n" : "%c\t%s\n", events[i].letter, argv[1], e->name);
            }
            at += sizeof(*e) + e->len;
        }
        fflush(stdout);
    }
    return 0;
}
