/* SPDX-License-Identifier: MIT */
/* kexec go|crash KERNEL INITRD TEXT: start another kernel with this command line, at once or when this one panics.
 * Static, for guests. */
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int crash = argc == 5 && strcmp(argv[1], "crash") == 0, kernel, initrd;

    if (argc != 5)
        return 2;
    kernel = open(argv[2], O_RDONLY);
    initrd = open(argv[3], O_RDONLY);
    if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[4]) + 1, argv[4],
                crash ? KEXEC_FILE_ON_CRASH : 0) < 0) {
        perror("kexec_file_load");
        return 1;
    }
    if (crash)
        return 0;
    syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
    perror("reboot");
    return 1;
}
