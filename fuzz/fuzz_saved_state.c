/* SPDX-License-Identifier: MIT */
/* A saved state that its own user's key has sealed, and that is hostile all the same: header, table, parts and
 * memory with any bytes changed under right seals, or any bytes at all. It is read, or refused with a reason;
 * nothing of it leads out of the file or of memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include <vz/error.h>

#include "base/le.h"
#include "fuzz.h"
#include "mem/mem.h"
#include "require.h"
#include "save/save_reader.h"
#include "save/save_writer.h"

#define RAM  (9 * 4096u)
#define ROOM 32768u

struct base {
    struct save_key key;
    struct save_header header;
    uint8_t page[SAVE_HEADER_SIZE];
    uint8_t table[256], parts[256], frame[ROOM]; /* opened; a frame is compressed still */
    uint32_t table_len, parts_len, frame_len;
    struct save_frame where;
    uint8_t file[ROOM];
    uint32_t file_len;
    struct mem *mem;
    int fd;
    char path[64];
};

static struct base base;

static void make_memory(void)
{
    require(!mem_create(RAM, &base.mem, NULL), "memory");
    require(!mem_add(base.mem, 0, RAM, false), "memory");
    memset(mem_ram(base.mem, 4096, 8192, MEM_WRITE), 7, 8000);
    memset(mem_ram(base.mem, 8 * 4096, 4096, MEM_WRITE), 8, 100);
}

static void save_one(const char *path)
{
    const struct save_writer_options o = {.path = path, .compress = true};
    struct save_writer *w;

    require(!save_writer_new(&o, &w, NULL), "save");
    for (unsigned part = 1; part < SAVE_PARTS_END; part++)
        require(!save_writer_part(w, part, "some", 4, NULL), "part");
    require(!save_writer_memory(w, base.mem, NULL, NULL), "memory");
    require(!save_writer_commit(w, NULL), "commit");
    save_writer_free(w);
}

/* What was saved, opened. */
static void take_apart(void)
{
    const struct save_header *h = &base.header;
    uint8_t packed[256];

    memcpy(base.page, base.file, sizeof(base.page));
    require(!save_header_read(base.page, base.file_len, "f", &base.header, NULL), "header");
    require(!save_key_of(&h->key, NULL, "f", &base.key, NULL), "key");
    base.table_len = (uint32_t)h->table_len - SAVE_TAG;
    require(save_open(&base.key, SAVE_TABLE, 0, base.file + h->table_offset, h->table_len,
                      base.table), "table");
    require(save_open(&base.key, SAVE_PARTS, 0, base.file + h->parts_offset, h->parts_len, packed),
            "parts");
    base.parts_len = (uint32_t)ZSTD_decompress(base.parts, sizeof(base.parts), packed,
                                               h->parts_len - SAVE_TAG);
    require(base.parts_len == 4 * 12, "parts");
    require(!save_frame_read(base.table, h, &base.where) && base.where.len, "frame");
    base.frame_len = base.where.len - SAVE_TAG;
    require(save_open(&base.key, SAVE_MEMORY, 0, base.file + base.where.offset, base.where.len,
                      base.frame), "frame");
}

static void start(void)
{
    char folder[] = "/tmp/vz-fuzz.XXXXXX", path[64], command[128];
    FILE *f;

    require(mkdtemp(folder), "folder");
    setenv("XDG_DATA_HOME", folder, 1);
    make_memory();
    snprintf(path, sizeof(path), "%s/state", folder);
    save_one(path);
    f = fopen(path, "r");
    require(f, "file");
    base.file_len = (uint32_t)fread(base.file, 1, sizeof(base.file), f);
    fclose(f);
    take_apart();
    base.fd = memfd_create("state", MFD_CLOEXEC);
    snprintf(base.path, sizeof(base.path), "/proc/self/fd/%d", base.fd);
    snprintf(command, sizeof(command), "rm -rf %s/state", folder); /* the key stays */
    require(system(command) == 0, "rm");
}

/* {what, offset (2), value} each. */
static void change(uint8_t what, const uint8_t *data, size_t size, uint8_t *bytes, uint32_t len)
{
    for (size_t i = 0; i + 4 <= size; i += 4) {
        if (data[i] % 4 == what)
            bytes[load_le16(data + i + 1) % len] = data[i + 3];
    }
}

/* The file with changes under right seals. Lengths stay, so that it all has its place. */
static uint32_t build(const uint8_t *data, size_t size, uint8_t *file)
{
    uint8_t table[256], parts[256], frame[ROOM], page[SAVE_HEADER_SIZE], packed[512];
    struct save_header h = base.header;
    size_t packed_len;

    memcpy(file, base.file, base.file_len);
    memcpy(table, base.table, base.table_len);
    memcpy(parts, base.parts, base.parts_len);
    memcpy(frame, base.frame, base.frame_len);
    change(1, data, size, table, base.table_len);
    change(2, data, size, parts, base.parts_len);
    change(3, data, size, frame, base.frame_len);
    save_seal(&base.key, SAVE_TABLE, 0, table, base.table_len, file + h.table_offset);
    save_seal(&base.key, SAVE_MEMORY, 0, frame, base.frame_len, file + base.where.offset);
    packed_len = ZSTD_compress(packed, sizeof(packed), parts, base.parts_len, 1);
    require(!ZSTD_isError(packed_len), "compress");
    h.parts_offset = base.file_len;
    h.parts_len = packed_len + SAVE_TAG;
    h.file_len = h.parts_offset + h.parts_len;
    save_seal(&base.key, SAVE_PARTS, 0, packed, packed_len, file + h.parts_offset);
    /* The members behind the key's, as the file has them: changed, and signed again. */
    save_header_write(&h, &base.key, page);
    change(0, data, size, page + 108, 68);
    save_header_sign(page, &base.key);
    memcpy(file, page, sizeof(page));
    return (uint32_t)h.file_len;
}

static void read_it(void)
{
    struct vz_error err = {0};
    struct save_reader *r = NULL;
    size_t len;
    int e = save_reader_new(base.path, NULL, &r, &err);

    for (unsigned part = 1; !e && part < SAVE_PARTS_END; part++) {
        const uint8_t *data = save_reader_part(r, part, &len);

        for (size_t i = 0; i < len; i++)
            __asm__ volatile("" : : "r"(data[i])); /* all of it is there to be read */
    }
    if (!e)
        e = save_reader_memory(r, base.mem, NULL, &err);
    require(!e || (err.code && err.text[0]), "a reason");
    save_reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[2 * ROOM];
    uint32_t len = (uint32_t)MIN(size, sizeof(file));

    if (!base.fd)
        start();
    if (size && data[0] & 1)
        len = build(data + 1, size - 1, file);
    else if (size)
        memcpy(file, data + 1, --len);
    require(ftruncate(base.fd, 0) == 0 && pwrite(base.fd, file, len, 0) == (ssize_t)len, "write");
    read_it();
    return 0;
}

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    if (!base.fd)
        start();
    if (index == 0 && room > base.file_len) { /* a whole file */
        ret[0] = 0;
        memcpy(ret + 1, base.file, base.file_len);
        return base.file_len + 1;
    }
    if (index > 4 || room < 17)
        return 0;
    memset(ret, 0, 17); /* changes of one kind */
    ret[0] = 1;
    for (unsigned i = 0; i < 4; i++) {
        ret[1 + 4 * i] = (uint8_t)(index - 1);
        ret[2 + 4 * i] = (uint8_t)(9 * i);
        ret[4 + 4 * i] = (uint8_t)(37 * i + index);
    }
    return 17;
}
