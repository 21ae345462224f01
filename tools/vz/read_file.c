/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failure.h"

#define FILE_MAX ((size_t)16 << 20) /* no file of ours is that long */

/* Room for one byte more, and one behind it. */
static bool reserve(char **text, size_t len, size_t *size)
{
    size_t bigger = *size ? 2 * *size : 65536;
    char *new;

    if (len + 1 < *size)
        return true;
    new = realloc(*text, bigger);
    if (!new)
        return false;
    *text = new;
    *size = bigger;
    return true;
}

char *cli_read_file(const char *path, size_t *ret_len, struct vz_error *err)
{
    bool input = !strcmp(path, "-");
    int fd = input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0, size = 0;
    char *text = NULL;
    ssize_t n = -1;

    errno = fd < 0 ? errno : ENOMEM;
    while (fd >= 0 && len < FILE_MAX && reserve(&text, len, &size) &&
           (n = read(fd, text + len, size - len - 1)) > 0)
        len += (size_t)n;
    if (len >= FILE_MAX)
        errno = EFBIG;
    if (n != 0) {
        fail_errno(err, input ? "standard input" : path);
        free(text);
        text = NULL;
    }
    if (fd > STDIN_FILENO)
        close(fd);
    if (text)
        text[len] = '\0';
    *ret_len = len;
    return text;
}
