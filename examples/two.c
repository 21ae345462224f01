/* SPDX-License-Identifier: MIT */
/* two CONFIG.json CONFIG.json: two machines in one process, until both have ended. */
#include <stdio.h>

#include <vz/vz.h>

static struct vz_machine *start(const char *path)
{
    static char text[1 << 16];
    struct vz_error err = {.text = "cannot be read"};
    FILE *f = fopen(path, "r");
    size_t len = f ? fread(text, 1, sizeof(text), f) : 0;
    struct vz_config *config = f ? vz_config_from_json(text, len, &err) : NULL;
    struct vz_machine *machine = config ? vz_machine_new(config, NULL, &err) : NULL;

    if (f)
        fclose(f);
    vz_config_unref(config);
    if (!machine || vz_machine_start_wait(machine, &err) < 0) {
        fprintf(stderr, "%s: %s\n", path, err.text);
        vz_machine_free(machine);
        return NULL;
    }
    return machine;
}

int main(int argc, char **argv)
{
    struct vz_machine *machine[2] = {NULL, NULL};
    struct vz_machine_end end;
    int status = argc == 3 ? 0 : 2;

    for (int i = 0; !status && i < 2; i++) {
        machine[i] = start(argv[i + 1]);
        status = !machine[i];
    }
    for (int i = 0; i < 2; i++) {
        if (machine[i] && !status) {
            vz_machine_wait(machine[i], &end);
            printf("%s ended: %d\n", argv[i + 1], end.reason);
        }
        vz_machine_free(machine[i]);
    }
    return status;
}
