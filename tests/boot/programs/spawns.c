/* SPDX-License-Identifier: MIT */
/* Many short-lived processes, each of which has its code at another address: linked as a static PIE,
 * it runs itself again and again. Prints how many ended well, then the milliseconds that the first
 * hundred took, and the last. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* What a short-lived process does: some library code, and its end. */
static int child(const char *text)
{
    char line[64];

    snprintf(line, sizeof(line), "%s %s", text, getenv("PATH") ? "path" : "none");
    return atoi(line) % 100;
}

static int run(const char *self, int n)
{
    char text[16];
    int status = -1;
    pid_t pid;

    snprintf(text, sizeof(text), "%d", n);
    pid = fork();
    if (!pid) {
        execl(self, self, text, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == n % 100;
}

int main(int argc, char **argv)
{
    long us[10];
    int good = 0;

    if (argc > 1)
        return child(argv[1]);
    for (int hundred = 0; hundred < 10; hundred++) {
        long at = now_us();

        for (int n = 0; n < 100; n++)
            good += run(argv[0], 100 * hundred + n);
        us[hundred] = now_us() - at;
    }
    printf("%d\n%ld %ld\n", good, us[0] / 1000, us[9] / 1000);
    return 0;
}
