/* SPDX-License-Identifier: MIT */
/* Mutexes, atomics, condition variables, barriers and thread-local storage, with exact sums. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>

#define THREADS 4
#define ROUNDS  20000
#define SLOTS   8

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_spinlock_t spin;
static long counter, spun, atomics, exchanged, queue[SLOTS], head, tail, consumed;
static _Thread_local long mine;
static unsigned __int128 wide; /* by CMPXCHG16B */

static void add_wide(void)
{
    unsigned __int128 one = ((unsigned __int128)1 << 64) | 1, old = wide, seen;

    while ((seen = __sync_val_compare_and_swap(&wide, old, old + one)) != old)
        old = seen;
}

static void *count(void *arg)
{
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < ROUNDS; i++) {
        long seen;

        pthread_mutex_lock(&lock);
        counter++;
        pthread_mutex_unlock(&lock);
        pthread_spin_lock(&spin);
        spun++;
        pthread_spin_unlock(&spin);
        __atomic_add_fetch(&atomics, i, __ATOMIC_SEQ_CST);
        seen = __atomic_load_n(&exchanged, __ATOMIC_RELAXED);
        while (!__atomic_compare_exchange_n(&exchanged, &seen, seen + 3, 1, __ATOMIC_SEQ_CST,
                                            __ATOMIC_RELAXED))
            ;
        add_wide();
        mine++;
    }
    pthread_barrier_wait(&barrier);
    return mine == ROUNDS ? arg : NULL;
}

static void *produce(void *arg)
{
    for (long i = 1; i <= ROUNDS; i++) {
        pthread_mutex_lock(&lock);
        while (head - tail == SLOTS)
            pthread_cond_wait(&not_full, &lock);
        queue[head++ % SLOTS] = i;
        pthread_cond_signal(&not_empty);
        pthread_mutex_unlock(&lock);
    }
    return arg;
}

static void *consume(void *arg)
{
    for (long i = 1; i <= ROUNDS; i++) {
        pthread_mutex_lock(&lock);
        while (head == tail)
            pthread_cond_wait(&not_empty, &lock);
        consumed += queue[tail++ % SLOTS];
        pthread_cond_signal(&not_full);
        pthread_mutex_unlock(&lock);
    }
    return arg;
}

/* Dekker's store-then-load: both reading 0 would break the order of locked operations. */
static volatile int flag[2], both, go;

static void *dekker(void *arg)
{
    int me = arg != NULL;

    for (int i = 1; i <= ROUNDS; i++) {
        while (__atomic_load_n(&go, __ATOMIC_ACQUIRE) < i)
            __asm__ volatile("pause");
        flag[me] = 1;
        __sync_synchronize();
        if (!flag[!me])
            __atomic_add_fetch(&both, 1, __ATOMIC_SEQ_CST);
        pthread_barrier_wait(&barrier);
        if (me) {
            if (both == 2)
                printf("both were first in round %d\n", i);
            flag[0] = flag[1] = both = 0;
        }
        pthread_barrier_wait(&barrier);
        __atomic_store_n(&go, i + 1, __ATOMIC_RELEASE);
    }
    return arg;
}

static void run(int n, void *(*f)(void *), void *(*g)(void *))
{
    pthread_t t[THREADS];

    for (int i = 0; i < n; i++)
        pthread_create(&t[i], NULL, i & 1 ? g : f, i & 1 ? (void *)1 : NULL);
    for (int i = 0; i < n; i++)
        pthread_join(t[i], NULL);
}

int main(void)
{
    pthread_spin_init(&spin, 0);
    pthread_barrier_init(&barrier, NULL, THREADS);
    run(THREADS, count, count);
    run(2, produce, consume);
    pthread_barrier_destroy(&barrier);
    pthread_barrier_init(&barrier, NULL, 2);
    go = 1;
    run(2, dekker, dekker);
    printf("%ld %ld %ld %ld %ld %llx %llx\n", counter, spun, atomics, exchanged, consumed,
           (unsigned long long)wide, (unsigned long long)(wide >> 64));
    return 0;
}
