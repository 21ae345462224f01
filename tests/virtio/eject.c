/* SPDX-License-Identifier: MIT */
/* eject DEVICE: what the program of that name does. Static, for guests. */
#include <fcntl.h>
#include <linux/cdrom.h>
#include <stdio.h>
#include <sys/ioctl.h>

int main(int argc, char **argv)
{
    int fd = argc == 2 ? open(argv[1], O_RDONLY | O_NONBLOCK) : -1;

    if (fd >= 0 && ioctl(fd, CDROMEJECT) == 0)
        return 0;
    perror("eject");
    return 1;
}
