/* SPDX-License-Identifier: MIT */
/* waits FILE OUT: one process waits for FILE's flock(), another for its POSIX lock, as long as it takes. Each adds to
 * OUT a line when it begins, and one that says what came of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static int waits(const char *name, int fd, FILE *out)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int r;

    fprintf(out, "%s begins\n", name);
    fflush(out);
    r = name[0] == 'f' ? flock(fd, LOCK_EX) : fcntl(fd, F_SETLKW, &l);
    fprintf(out, "%s: %d\n", name, r < 0 ? errno : 0);
    fflush(out);
    return r < 0;
}

int main(int argc, char **argv)
{
    int fd = argc == 3 ? open(argv[1], O_RDWR) : -1;
    FILE *out = fd < 0 ? NULL : fopen(argv[2], "a");
    pid_t pid;

    if (!out) {
        perror("waits");
        return 1;
    }
    pid = fork();
    if (pid < 0)
        return 1;
    if (!pid)
        return waits("posix", fd, out);
    return waits("flock", fd, out) | (waitpid(pid, NULL, 0) != pid);
}
