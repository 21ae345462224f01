/* SPDX-License-Identifier: MIT */
/* pulse FILE: keep the rig (scripts/kvm-rig) awake, and say into FILE that it is.
 *
 * When QEMU emulates VMRUN and what ends it, it changes the word of the CPU's pending interrupts
 * without the lock under which its other thread sets bits there. Now and then one is lost that way:
 * it stays pending in the local APIC, but the CPU does not know. The next interrupt tells of both;
 * but the kernel sets its timer anew only when that has interrupted, and there may be no other. A CPU
 * that halts or a guest that waits for another of its CPUs then does so for ever.
 *
 * So the HPET interrupts regularly, by itself. The signs of life come by the kernel's own timer, at
 * a priority above all else, so that they stop only when the rig does. */
#include <fcntl.h>
#include <linux/hpet.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { PULSES_PER_S = 20, SIGN_EVERY_S = 1, SIGN = 5 /* ENQ; kvm-rig knows it */ };

static int start_pulse(void)
{
    int fd = open("/dev/hpet", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || ioctl(fd, HPET_IRQFREQ, (unsigned long)PULSES_PER_S) < 0 ||
        ioctl(fd, HPET_EPI) < 0 || ioctl(fd, HPET_IE_ON) < 0) {
        perror("pulse: /dev/hpet");
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct sched_param priority = {.sched_priority = 1};
    const struct timespec pause = {.tv_sec = SIGN_EVERY_S};
    const char sign = SIGN;
    int fd = open(argv[argc - 1], O_WRONLY | O_NOCTTY | O_CLOEXEC);

    if (argc != 2 || fd < 0) {
        perror("pulse: FILE");
        return 2;
    }
    if (sched_setscheduler(0, SCHED_FIFO, &priority) < 0) {
        perror("pulse: SCHED_FIFO");
        return 1;
    }
    if (start_pulse()) {
        return 1;
    }
    while (write(fd, &sign, 1) == 1) {
        nanosleep(&pause, NULL);
    }
    perror("pulse: FILE");
    return 1;
}
