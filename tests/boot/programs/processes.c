/* SPDX-License-Identifier: MIT */
/* Many processes: fork, exec, pipes, copy on write, signals between them. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
    (void)sig;
    signals++;
}

static int run(const char *self, int n)
{
    char text[16];
    int status;
    pid_t child;

    snprintf(text, sizeof(text), "%d", n);
    child = n % 2 ? fork() : vfork();
    if (!child) {
        execl(self, self, text, (char *)NULL);
        _exit(127);
    }
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

static int storm(const char *self)
{
    int total = 0;

    for (int i = 0; i < 60; i++)
        total += run(self, i);
    return total;
}

static int copy_on_write(void)
{
    char *memory = mmap(NULL, 256 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                        0);
    int good = 0;

    for (int i = 0; i < 256; i++)
        memory[i * 4096] = (char)i;
    for (int n = 0; n < 8; n++)
        if (!fork()) {
            for (int i = 0; i < 256; i++)
                memory[i * 4096] = (char)(memory[i * 4096] + n);
            for (int i = 0; i < 256; i++)
                if (memory[i * 4096] != (char)(i + n))
                    _exit(1);
            _exit(0);
        }
    for (int status; wait(&status) > 0;)
        good += status == 0;
    for (int i = 0; i < 256; i++)
        if (memory[i * 4096] != (char)i)
            return -1;
    return good;
}

static long ping_pong(void)
{
    int to[2], from[2];
    long n = 0;

    if (pipe(to) || pipe(from))
        return -1;
    if (!fork()) {
        close(to[1]);
        while (read(to[0], &n, sizeof(n)) == sizeof(n)) {
            n++;
            if (write(from[1], &n, sizeof(n)) < 0)
                _exit(1);
        }
        _exit(0);
    }
    while (n < 4000)
        if (write(to[1], &n, sizeof(n)) < 0 || read(from[0], &n, sizeof(n)) < 0)
            return -1;
    close(to[1]);
    wait(NULL);
    return n;
}

static int signalled(void)
{
    sigset_t set, old;
    pid_t child;

    signal(SIGUSR1, on_signal);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    child = fork();
    if (!child) {
        for (int i = 0; i < 500; i++) {
            sigsuspend(&old);
            kill(getppid(), SIGUSR1);
        }
        _exit(signals == 500 ? 0 : 1);
    }
    for (int i = 0; i < 500; i++) {
        kill(child, SIGUSR1);
        sigsuspend(&old);
    }
    wait(NULL);
    return signals;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return atoi(argv[1]) + 1;
    printf("exec %d\n", storm(argv[0]));
    printf("copy %d\n", copy_on_write());
    printf("pipe %ld\n", ping_pong());
    printf("signals %d\n", signalled());
    return 0;
}
