/* SPDX-License-Identifier: MIT */
/* holds FD COMMAND [ARG...]: lock the file that is open as FD, whole, both ways, and become COMMAND. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = argc > 2 ? atoi(argv[1]) : -1;

    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fcntl(fd, F_SETLK, &l) < 0) {
        perror("holds");
        return 1;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 1;
}
