/* SPDX-License-Identifier: MIT */
/* fanwatches FOLDER: what fanotify tells of the files in it, a line each: event (c: contents changed, w: closed
 * after writing) and path. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/fanotify.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    _Alignas(struct fanotify_event_metadata) char buffer[4096];
    int fd = fanotify_init(FAN_CLASS_NOTIF, O_RDONLY);
    ssize_t n;

    if (argc < 2 ||
        fanotify_mark(fd, FAN_MARK_ADD, FAN_MODIFY | FAN_CLOSE_WRITE | FAN_EVENT_ON_CHILD, AT_FDCWD, argv[1]) < 0) {
        perror("fanwatches");
        return 1;
    }
    while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
        for (const struct fanotify_event_metadata *e = (void *)buffer; FAN_EVENT_OK(e, n); e = FAN_EVENT_NEXT(e, n)) {
            char link[32], path[256] = "";

            snprintf(link, sizeof(link), "/proc/self/fd/%d", e->fd);
            if (readlink(link, path, sizeof(path) - 1) < 0)
                perror(link);
            close(e->fd);
            if (e->mask & FAN_MODIFY)
                printf("c\t%s\n", path);
            if (e->mask & FAN_CLOSE_WRITE)
                printf("w\t%s\n", path);
        }
        fflush(stdout);
    }
    return 0;
}
