/* SPDX-License-Identifier: MIT */
/* For other processors than the guest's: what a program sees of itself, and some work with known results.
 *   foreign            what it is called and for which machine, arithmetic, a child, a thread, itself once more
 *   foreign ids        by whose right it runs: real and effective user */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t signalled;

static void on_signal(int number)
{
    signalled = number;
}

static void *add_up(void *arg)
{
    uint64_t *sum = arg;

    for (uint64_t i = 1; i <= 100000; i++)
        *sum += i * i;
    return NULL;
}

static uint64_t primes_below(unsigned max)
{
    char *composite = calloc(max, 1);
    uint64_t count = 0;

    for (unsigned i = 2; i < max; i++) {
        count += !composite[i];
        for (unsigned k = i * 2; !composite[i] && k < max; k += i)
            composite[k] = 1;
    }
    free(composite);
    return count;
}

static int child_status(void)
{
    int status = 0;
    pid_t pid = fork();

    if (!pid)
        _exit(7);
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    struct utsname name;
    uint64_t sum = 0;
    pthread_t thread;

    if (argc > 1 && !strcmp(argv[1], "ids")) {
        printf("%d %d\n", (int)getuid(), (int)geteuid());
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "again")) {
        printf("again %s\n", argv[0]);
        return 3;
    }
    uname(&name);
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    pthread_create(&thread, NULL, add_up, &sum);
    pthread_join(thread, NULL);
    printf("%s %s\n", argv[0], name.machine);
    printf("primes %llu squares %llu root %.12f\n", (unsigned long long)primes_below(20000), (unsigned long long)sum,
           sqrt(2) * 1e3);
    printf("child %d signal %d\n", child_status(), signalled == SIGUSR1);
    fflush(stdout);
    execl("/proc/self/exe", "other-name", "again", NULL);
    printf("cannot be run again: %s\n", strerror(errno));
    return 1;
}
