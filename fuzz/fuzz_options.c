/* SPDX-License-Identifier: MIT */
/* Lines of options, NAME VALUE, on one configuration. They are taken or refused with a reason, and
 * what came of them is written as JSON that reads the same. Nothing is opened: nothing is validated. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include <vz/vz.h>

static const char options[] =
    "memory 1.5GiB\ncpus 4\nname web\ncpu host\nkernel k\ncmdline a=b,c\nserial file:a,b\n"
    "console fd,read=3\ndisk a,,b,ro,cache=uncached,id=x\ncdrom c\nboot-disk d\nnet fd=3,mtu=9000\n"
    "net nat,host,mac=02:00:00:00:00:02\nforward udp:[::1]:53:54\nballoon 64M,min=32M,oom=off\n"
    "vsock cid=5,listen=7:unix:/a\nvsock connect=8:unix:b\nrng\nsound output=host,input=wav:c\nno-reboot\n";

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    size_t len = index ? 0 : strlen(options);

    if (len > room)
        return 0;
    memcpy(ret, options, len);
    return len;
}

/* A string may not be UTF-8, and a boot loader without a kernel, which validation finds. */
static void read_again(const struct vz_config *c)
{
    char *text = vz_config_to_json(c, NULL), *again;
    struct vz_config *d = text ? vz_config_from_json(text, strlen(text), NULL) : NULL;

    if (d) {
        again = vz_config_to_json(d, NULL);
        if (!again || strcmp(text, again))
            abort();
        free(again);
    }
    free(text);
    vz_config_unref(d);
}

static void apply_lines(char *text)
{
    struct vz_config *c = vz_config_new(NULL, NULL);
    char *line, *rest = NULL, *value;

    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        struct vz_error err = {.text = ""};

        value = strchr(line, ' ');
        if (value)
            *value++ = '\0';
        if (vz_config_add(c, line, value, &err) < 0 && !err.text[0])
            abort();
        free(vz_config_get(c, line, NULL));
    }
    read_again(c);
    vz_config_unref(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);

    if (text)
        apply_lines(text);
    free(text);
    return 0;
}
