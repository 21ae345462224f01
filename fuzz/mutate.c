/* SPDX-License-Identifier: MIT */
/* A main() for fuzz targets of structured files: runs the target's own seeds and the files of a
 * corpus directory, then random mutations of them. (driver.c feeds plain random bytes.)
 *
 *     fuzz_x [-t SECONDS] [-n MUTATIONS] [-s SEED] [-o FILE] [CORPUS-DIR]
 *     fuzz_x -w DIR       only writes the seeds there
 *
 * Built for clang's fuzzer (scripts/fuzz) it is that but for -w.
 * The same -s with -n gives the same inputs. -o FILE: every input is written there before it is
 * run, so that the last one is at hand after a crash. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX  ((size_t)256 * 1024)
#define INPUTS_MAX 1024u

struct input {
    uint8_t *data;
    size_t len;
};

struct run {
    struct input input[INPUTS_MAX];
    unsigned count;
    uint64_t random;
    uint64_t mutations;
    double seconds;
    const char *save_path;
    uint8_t work[INPUT_MAX];
};

static uint64_t next_random(struct run *r) /* xorshift64* */
{
    r->random ^= r->random >> 12;
    r->random ^= r->random << 25;
    r->random ^= r->random >> 27;
    return r->random * UINT64_C(0x2545f4914f6cdd1d);
}

static size_t below(struct run *r, size_t n)
{
    return n ? (size_t)(next_random(r) >> 16) % n : 0;
}

static void add_input(struct run *r, const uint8_t *data, size_t len)
{
    struct input *in = &r->input[r->count];

    if (r->count == INPUTS_MAX || !(in->data = malloc(len ? len : 1)))
        return;
    memcpy(in->data, data, len);
    in->len = len;
    r->count++;
}

static void read_corpus(struct run *r, const char *dir_path)
{
    DIR *dir = opendir(dir_path);
    struct dirent *entry;
    char path[4096];
    FILE *f;

    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir_path, entry->d_name);
        f = fopen(path, "rb");
        if (!f)
            continue;
        add_input(r, r->work, fread(r->work, 1, sizeof(r->work), f));
        fclose(f);
    }
    if (dir)
        closedir(dir);
}

/* One change: a random byte, an interesting value, a bit, a copied piece, a new length. Most strike
 * the first 1 KiB, where headers are. */
static size_t mutate_once(struct run *r, size_t len)
{
    static const uint64_t interesting[] = {0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff,
                                           0xffffffff, INT64_MAX, UINT64_MAX, 4096, 0x100000};
    size_t window = below(r, 4) && len > 1024 ? 1024 : len, pos = below(r, window), width;
    uint64_t value;

    switch (len ? below(r, 5) : 4) {
    case 0:
        r->work[pos] = (uint8_t)next_random(r);
        return len;
    case 1:
        value = interesting[below(r, sizeof(interesting) / sizeof(interesting[0]))];
        width = (size_t)1 << below(r, 4);
        memcpy(r->work + pos, &value, width < len - pos ? width : len - pos);
        return len;
    case 2:
        r->work[pos] ^= (uint8_t)(1u << below(r, 8));
        return len;
    case 3:
        width = below(r, 64);
        width = width < len - pos ? width : len - pos;
        memmove(r->work + pos, r->work + below(r, len - width + 1), width);
        return len;
    default:
        width = below(r, 8) ? len : below(r, INPUT_MAX);
        if (width > len)
            memset(r->work + len, 0, width - len);
        return width;
    }
}

static void run_one(struct run *r, const uint8_t *data, size_t len)
{
    /* A block of exactly len bytes, so that a sanitizer sees every byte read past its end. */
    uint8_t *copy = malloc(len ? len : 1);
    FILE *f = r->save_path ? fopen(r->save_path, "wb") : NULL;

    if (f) {
        fwrite(data, 1, len, f);
        fclose(f);
    }
    if (copy) {
        memcpy(copy, data, len);
        LLVMFuzzerTestOneInput(copy, len);
    }
    free(copy);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t run_mutations(struct run *r)
{
    double end = now() + r->seconds;
    uint64_t done = 0;

    while (done < r->mutations && now() < end) {
        const struct input *in = &r->input[below(r, r->count)];
        size_t len = in->len;

        memcpy(r->work, in->data, len);
        for (size_t n = 1 + below(r, 6); n; n--)
            len = mutate_once(r, len);
        run_one(r, r->work, len);
        done++;
    }
    return done;
}

/* Each seed as a file of folder. */
static int write_seeds(const char *folder)
{
    static uint8_t seed[INPUT_MAX];
    char path[4096];
    size_t len;

    for (unsigned i = 0; (len = fuzz_seed(i, seed, sizeof(seed))); i++) {
        FILE *f;

        snprintf(path, sizeof(path), "%s/seed%u", folder, i);
        f = fopen(path, "wb");
        if (!f || fwrite(seed, 1, len, f) != len || fclose(f)) {
            perror(path);
            return EXIT_FAILURE;
        }
    }
    return EXIT_SUCCESS;
}

#ifdef VZ_LIBFUZZER
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*fn)(const uint8_t *data, size_t size));

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "-w"))
        return write_seeds(argv[2]);
    return LLVMFuzzerRunDriver(&argc, &argv, LLVMFuzzerTestOneInput);
}
#else
int main(int argc, char **argv)
{
    struct run *r = calloc(1, sizeof(*r));
    uint64_t seed = 1, done;
    size_t len;
    int opt;

    if (!r)
        return EXIT_FAILURE;
    r->seconds = 60;
    r->mutations = UINT64_MAX;
    while ((opt = getopt(argc, argv, "t:n:s:o:w:")) != -1) {
        switch (opt) {
        case 't': r->seconds = atof(optarg); break;
        case 'n': r->mutations = strtoull(optarg, NULL, 0); break;
        case 's': seed = strtoull(optarg, NULL, 0); break;
        case 'o': r->save_path = optarg; break;
        case 'w': return write_seeds(optarg);
        default: return 2;
        }
    }
    r->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (unsigned i = 0; (len = fuzz_seed(i, r->work, sizeof(r->work))); i++)
        add_input(r, r->work, len);
    for (; optind < argc; optind++)
        read_corpus(r, argv[optind]);
    add_input(r, r->work, 0);
    for (unsigned i = 0; i < r->count; i++)
        run_one(r, r->input[i].data, r->input[i].len);
    done = run_mutations(r);
    printf("seed %" PRIu64 ": %u inputs, %" PRIu64 " mutations\n", seed, r->count, done);
    for (unsigned i = 0; i < r->count; i++)
        free(r->input[i].data);
    free(r);
    return EXIT_SUCCESS;
}
#endif
