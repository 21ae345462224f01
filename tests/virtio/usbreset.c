/* SPDX-License-Identifier: MIT */
/* In a guest: usbreset /dev/bus/usb/BUS/DEVICE COUNT: have Linux reset a device, so many times. */
#include <fcntl.h>
#include <linux/usbdevice_fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int fd = argc == 3 ? open(argv[1], O_WRONLY) : -1;

    for (int i = 0; fd >= 0 && i < atoi(argv[2]); i++) {
        if (ioctl(fd, USBDEVFS_RESET, 0) < 0) {
            perror("usbreset");
            return 1;
        }
        usleep(50000);
    }
    if (fd < 0)
        perror("usbreset");
    return fd < 0;
}
