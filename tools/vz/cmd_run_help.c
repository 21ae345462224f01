/* SPDX-License-Identifier: MIT */
/* `vz run --help`: the options from their tables, and what is to be said around them. */
#include "cli.h"

static const char head[] =
    "Usage: vz run --kernel FILE [OPTION]...\n"
    "       vz run --boot-disk PATH [OPTION]...\n"
    "       vz run --from MACHINE [OPTION]...\n"
    "       vz run --config FILE [OPTION]...\n"
    "       vz run ... -- CMD [ARG]...\n"
    "       vz run --restore FILE [OPTION]...\n"
    "\n"
    "Boot a kernel in a new virtual machine whose first serial port (COM1, Linux's ttyS0) is\n"
    "this terminal. It runs until the guest powers off. vz(1) says more about each option.\n"
    "With CMD the guest's agent (vz-agent) runs this one command, whose input, output and exit status are\n"
    "those of vz, and the machine ends with it: with --ephemeral at once, else the guest shuts down.\n";

static const char tail[] =
    "\n"
    "Sizes are written 512M, 1.5G or 1T, by powers of two. Where commas separate, a comma that is\n"
    "part of a PATH is written twice. Options may be spelled --name VALUE or --name=VALUE.\n"
    "\n"
    "When standard input is a terminal, all keys go to the guest (Ctrl-C too) except:\n"
    "  Ctrl-A x          quit: ask the guest to shut down, and turn the machine off if it does\n"
    "                    not; once more: at once. SIGTERM, SIGHUP and SIGINT do the same. With\n"
    "                    --save the machine is saved the first time\n"
    "  Ctrl-A s          press the guest's power button, and stay\n"
    "  Ctrl-A i          say how the guest is reached, and how much memory it has\n"
    "  Ctrl-A h          list these keys\n"
    "  Ctrl-A Ctrl-A     send Ctrl-A to the guest\n"
    "Otherwise standard input is passed on as it is, and its end does not end the machine. When\n"
    "standard output is a pipe that nobody reads any more, the machine is turned off (status 1).\n"
    "\n"
    "Exit status:\n"
    "  0  the guest powered off, or reset with --no-reboot, or you left with Ctrl-A x\n"
    "  1  something failed: a file that cannot be used, an internal error\n"
    "  2  wrong usage\n"
    "  3  the guest's kernel panicked and told so, or its processor came to a triple fault\n"
    "  124  --timeout is over\n"
    "  With CMD: its status; 128+N: signal N ended it; 125: it was not started; 126: it cannot be\n"
    "  run; 127: there is no such command\n"
    "\n"
    "Examples:\n"
    "  vz run --kernel /boot/vmlinuz --initrd initrd.img --cmdline console=ttyS0 --memory 2G\n"
    "  vz run --kernel test.elf --debug-exit --serial file:log.txt --no-reboot\n";

static const char *const headings[] = {"Kernel", "Machine", "Devices", "Command", "Ending", "Saved states", "As in vftool"};

void run_help(FILE *to, const struct opt *options)
{
    fputs(head, to);
    for (size_t i = 0; i < sizeof(headings) / sizeof(headings[0]); i++)
        opts_help(to, options, headings[i]);
    fputs(tail, to);
}
