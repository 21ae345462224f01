/* SPDX-License-Identifier: MIT */
/* A configuration in JSON that anybody may have written: it is read or refused with a reason, what
 * was read validates or not without harm, and is written so that it reads the same. */
#include <stdlib.h>
#include <string.h>

#include <vz/vz.h>

#include "fuzz.h"

static void must(int condition)
{
    if (!condition)
        abort();
}

static void read_again(const struct vz_config *c)
{
    struct vz_error err;
    char *once = vz_config_to_json(c, &err), *twice;
    struct vz_config *again;

    must(once != NULL);
    again = vz_config_from_json(once, strlen(once), &err);
    must(again != NULL);
    twice = vz_config_to_json(again, &err);
    must(twice && !strcmp(once, twice));
    vz_config_unref(again);
    free(once);
    free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vz_error err = {0};
    struct vz_config *c = vz_config_from_json((const char *)data, size, &err);

    if (!c) {
        must(err.code != VZ_ERROR_NONE && err.text[0]);
        return 0;
    }
    read_again(c);
    vz_config_unref(c);
    return 0;
}

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    static const char *const seeds[] = {
        "{\"label\":\"a\",\"accel\":\"soft\",\"memory\":67108864,\"cpus\":2,"
        "\"platform\":{\"type\":\"generic\",\"machineIdentifier\":\"00112233-4455-6677-8899-aabbccddeeff\"},"
        "\"bootLoader\":{\"type\":\"linux\",\"kernel\":\"/k\",\"initrd\":\"/i\",\"cmdline\":\"a=b\"}}",
        "{\"serialPorts\":[{\"type\":\"uart\",\"attachment\":{\"type\":\"stdio\"}},"
        "{\"type\":\"virtio\",\"attachment\":{\"type\":\"file\",\"path\":\"/f\",\"append\":true}}],"
        "\"consoleDevices\":[{\"type\":\"virtioConsole\",\"ports\":[{\"name\":\"a\",\"console\":true,"
        "\"attachment\":{\"type\":\"unix\",\"path\":\"/s\"}}]}]}",
        "{\"storageDevices\":[{\"type\":\"virtioBlock\",\"identifier\":\"x\",\"attachment\":{\"type\":"
        "\"diskImage\",\"path\":\"/d\",\"readOnly\":true,\"caching\":\"cached\",\"synchronization\":\"fsync\"}}],"
        "\"entropyDevices\":[{\"type\":\"virtioEntropy\"}]}",
        "{\"networkDevices\":[{\"type\":\"virtioNet\",\"mac\":\"02:00:00:00:00:01\",\"attachment\":{\"type\":"
        "\"nat\",\"forwards\":[{\"protocol\":\"tcp\",\"host\":\"127.0.0.1\",\"hostPort\":80,\"guestPort\":8080}]}},"
        "{\"type\":\"virtioNet\",\"attachment\":{\"type\":\"tap\",\"interface\":\"tap0\"}}],"
        "\"memoryBalloonDevices\":[{\"type\":\"virtioBalloon\",\"minimumSize\":1048576}],"
        "\"socketDevices\":[{\"type\":\"virtioSocket\",\"guestCid\":5}]}"};

    return fuzz_seed_of(seeds, sizeof(seeds) / sizeof(seeds[0]), index, ret, room);
}
