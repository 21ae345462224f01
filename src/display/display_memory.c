/* SPDX-License-Identifier: MIT */
/* Images in one file in memory: first fit, whole pages, given back to the host when the last one who
 * looks at an image lets go of it. The file's size is the bound of what a guest can make us take. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "display/display_impl.h"

#define PAGE 4096u

static int failed(struct vz_error *err, const char *what)
{
    int r = errno;

    return error_set(err, r, r == ENOMEM ? VZ_ERROR_NO_MEMORY : VZ_ERROR_IO,
                     "memory for pictures: %s: %s", what, strerror(r));
}

/* The same file for others, who are not to write it; without /proc it is the same descriptor. */
static int read_only(int fd)
{
    char path[64];
    int ro;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ro = open(path, O_RDONLY | O_CLOEXEC);
    return ro >= 0 ? ro : fd;
}

static int map(struct display_memory *m, struct vz_error *err)
{
    m->fd = memfd_create("vz-display", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (m->fd < 0 || ftruncate(m->fd, (off_t)m->size) < 0)
        return failed(err, "memfd_create");
    /* Nobody to whom the file is given can take it away under us. */
    if (fcntl(m->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return failed(err, "seals");
    m->base = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, m->fd, 0);
    if (m->base == MAP_FAILED) {
        m->base = NULL;
        return failed(err, "mmap");
    }
    m->fd_ro = read_only(m->fd);
    return 0;
}

int display_memory_new(uint64_t size, struct display_memory **ret, struct vz_error *err)
{
    struct display_memory *m = calloc(1, sizeof(*m));
    int r;

    if (!m)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    atomic_init(&m->refs, 1);
    m->fd = m->fd_ro = -1;
    m->size = align_up(MAX(size, (uint64_t)PAGE), PAGE);
    pthread_mutex_init(&m->lock, NULL);
    TAILQ_INIT(&m->images);
    r = map(m, err);
    if (r < 0)
        display_memory_unref(m);
    else
        *ret = m;
    return r;
}

static struct display_memory *display_memory_ref(struct display_memory *m)
{
    atomic_fetch_add(&m->refs, 1);
    return m;
}

void display_memory_unref(struct display_memory *m)
{
    if (!m || atomic_fetch_sub(&m->refs, 1) != 1)
        return;
    if (m->base)
        munmap(m->base, m->size);
    if (m->fd_ro >= 0 && m->fd_ro != m->fd)
        close(m->fd_ro);
    if (m->fd >= 0)
        close(m->fd);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* Put it into the first gap that is large enough. */
static bool place_locked(struct display_memory *m, struct display_image *image)
{
    struct display_image *next;
    uint64_t at = 0;

    TAILQ_FOREACH(next, &m->images, link) {
        if (next->offset - at >= image->len)
            break;
        at = next->offset + next->len;
    }
    if (!range_fits(at, image->len, m->size))
        return false;
    image->offset = at;
    if (next)
        TAILQ_INSERT_BEFORE(next, image, link);
    else
        TAILQ_INSERT_TAIL(&m->images, image, link);
    return true;
}

struct display_image *display_memory_image(struct display_memory *m, uint32_t width, uint32_t height)
{
    struct display_image *image = calloc(1, sizeof(*image));
    bool placed;

    if (!image)
        return NULL;
    atomic_init(&image->refs, 1);
    image->len = align_up((uint64_t)width * height * 4, PAGE);
    image->width = width;
    image->height = height;
    pthread_mutex_lock(&m->lock);
    placed = place_locked(m, image);
    pthread_mutex_unlock(&m->lock);
    if (!placed) {
        free(image);
        return NULL;
    }
    image->memory = display_memory_ref(m);
    image->pixels = m->base + image->offset;
    return image;
}

struct display_image *display_image_ref(struct display_image *image)
{
    if (image)
        atomic_fetch_add(&image->refs, 1);
    return image;
}

/* The host gets the pages back, and the next image there finds zeros. Where it cannot, they are written. */
void display_image_unref(struct display_image *image)
{
    struct display_memory *m;

    if (!image || atomic_fetch_sub(&image->refs, 1) != 1)
        return;
    m = image->memory;
    if (fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)image->offset,
                  (off_t)image->len) < 0)
        memset(image->pixels, 0, image->len);
    pthread_mutex_lock(&m->lock);
    TAILQ_REMOVE(&m->images, image, link);
    pthread_mutex_unlock(&m->lock);
    free(image);
    display_memory_unref(m);
}

uint8_t *display_image_pixels(struct display_image *image)
{
    return image->pixels;
}

void display_image_begin(struct display_image *image)
{
    atomic_fetch_add(&image->writes, 1);
}

void display_image_end(struct display_image *image)
{
    atomic_fetch_add(&image->writes, 1);
}
