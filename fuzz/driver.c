/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target without a fuzzer: random inputs from a seed, or the files named.
 *
 *   -n COUNT    inputs, default 1000000
 *   -t SECONDS  stop after that long, default 10
 *   -l BYTES    longest input, default 4096
 *   -s SEED     default 1; the same seed gives the same inputs
 *   FILE...     run these once each instead: what a fuzzer has found */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef VZ_LIBFUZZER /* scripts/fuzz: by coverage */
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*fn)(const uint8_t *data, size_t size));

int main(int argc, char **argv)
{
    return LLVMFuzzerRunDriver(&argc, &argv, LLVMFuzzerTestOneInput);
}
#else

struct options { uint64_t count, seconds, max_len, seed; };

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* In a block of exactly its size, so that tools see accesses behind its end. */
static void run_one(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy)
        exit(2);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static uint64_t run_random(const struct options *o)
{
    time_t end = time(NULL) + (time_t)o->seconds;
    uint64_t state = o->seed, done;
    uint8_t *buf = malloc(o->max_len + 8);

    if (!buf)
        exit(2);
    for (done = 0; done < o->count && (done % 256 || time(NULL) < end); done++) {
        size_t size = next_random(&state) % (o->max_len + 1);

        for (size_t i = 0; i < size; i += 8) {
            uint64_t r = next_random(&state);

            memcpy(buf + i, &r, 8);
        }
        run_one(buf, size);
    }
    free(buf);
    return done;
}

static int run_file(const char *path)
{
    static const size_t most = 1 << 24;
    uint8_t *buf = malloc(most);
    FILE *f = fopen(path, "rb");

    if (!buf || !f) {
        perror(path);
        return 1;
    }
    run_one(buf, fread(buf, 1, most, f));
    fclose(f);
    free(buf);
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = { .count = 1000000, .seconds = 10, .max_len = 4096, .seed = 1 };
    int opt, failed = 0;

    while ((opt = getopt(argc, argv, "n:t:l:s:")) != -1) {
        uint64_t value = optarg ? strtoull(optarg, NULL, 0) : 0;

        switch (opt) {
        case 'n': o.count = value; break;
        case 't': o.seconds = value; break;
        case 'l': o.max_len = value; break;
        case 's': o.seed = value; break;
        default: return 2;
        }
    }
    for (int i = optind; i < argc; i++)
        failed |= run_file(argv[i]);
    if (optind == argc)
        printf("%llu inputs\n", (unsigned long long)run_random(&o));
    return failed;
}
#endif
