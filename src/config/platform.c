/* SPDX-License-Identifier: MIT */
/* The platform and the machine's identity. */
#include <vz/platform.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "config/objects.h"

void vz_machine_identifier_random(struct vz_machine_identifier *ret)
{
    /* The kernel gives up to 256 bytes at once without fail once it has booted. */
    while (getrandom(ret->bytes, sizeof(ret->bytes), 0) != (ssize_t)sizeof(ret->bytes))
        ;
    ret->bytes[6] = (uint8_t)((ret->bytes[6] & 0x0f) | 0x40); /* RFC 4122 4.4: version 4 */
    ret->bytes[8] = (uint8_t)((ret->bytes[8] & 0x3f) | 0x80); /* and variant 1 */
}

static int digit(char c)
{
    if (!isxdigit((unsigned char)c))
        return -1;
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

int vz_machine_identifier_parse(const char *text, struct vz_machine_identifier *ret)
{
    struct vz_machine_identifier id;

    if (!text || !ret)
        return -1;
    for (unsigned i = 0; i < sizeof(id.bytes); i++) {
        int high, low;

        if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
            return -1;
        high = digit(text[0]);
        low = high < 0 ? -1 : digit(text[1]);
        if (low < 0)
            return -1;
        id.bytes[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    if (*text)
        return -1;
    *ret = id;
    return 0;
}

void vz_machine_identifier_format(const struct vz_machine_identifier *id,
                                  char ret[VZ_MACHINE_IDENTIFIER_TEXT_MAX])
{
    char *p = ret;

    for (unsigned i = 0; i < sizeof(id->bytes); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        p += sprintf(p, "%02x", id->bytes[i]);
    }
}

static const struct schema_field generic_fields[] = {
    FIELD_UUID(struct vz_platform, identifier, "machineIdentifier", .option = "uuid",
               .heading = "Machine", .value = "UUID",
               .text = "the machine's identity, which the guest sees in SMBIOS"),
    FIELD_END};
const struct schema_type config_generic_platform_type = {
    .name = "generic_platform", .json = "generic", .size = sizeof(struct vz_platform),
    .fields = generic_fields, .text = "a PC for Linux and other guests"};

static const struct schema_type *const platforms_types[] = {&config_generic_platform_type, NULL};
const struct schema_class config_platforms = {.types = platforms_types, .otherwise = &config_generic_platform_type};

struct vz_platform *vz_platform_ref(struct vz_platform *object)
{
    return object_ref(object);
}

void vz_platform_unref(struct vz_platform *object)
{
    object_unref(object);
}

struct vz_platform *vz_generic_platform_new(const struct vz_generic_platform_options *options,
                                            struct vz_error *err)
{
    struct vz_generic_platform_options o = VZ_GENERIC_PLATFORM_OPTIONS_INIT;
    struct vz_platform *p;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    p = schema_new(&config_generic_platform_type, err);
    if (p && o.machine_identifier)
        p->identifier = *o.machine_identifier;
    return p;
}

void vz_platform_machine_identifier(const struct vz_platform *platform,
                                    struct vz_machine_identifier *ret)
{
    *ret = platform->identifier;
}
