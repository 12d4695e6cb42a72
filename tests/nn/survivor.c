/* A run to be killed: `survivor FILE STEPS` goes on from FILE, if it is there, and saves after
 * every step; `survivor FILE STEPS once` starts anew and saves at the end. Both print how many
 * steps the run has behind it. Status 1 and the reason when anything but a missing file goes wrong.
 */
#include "tensor/object.h"
#include "tests/nn/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static grd_status go_on(const char *path, int64_t steps)
{
    run r = run_create(1);
    const grd_checkpoint all = run_checkpoint(&r);
    if (grd_load(path, &all) == GRD_ERROR_NO_FILE)
        grd_error_take();
    while (r.step < steps && run_steps(&r, 1) == GRD_OK && grd_save(path, &all) == GRD_OK)
        ;
    printf("%lld\n", (long long)r.step);
    return grdi_self.latched;
}

static grd_status run_once(const char *path, int64_t steps)
{
    run r = run_create(1);
    const grd_checkpoint all = run_checkpoint(&r);
    run_steps(&r, (int)steps);
    printf("%lld\n", (long long)r.step);
    return grd_save(path, &all);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    grd_scope *scope = grd_scope_begin();
    const int64_t steps = strtoll(argv[2], NULL, 10);
    (void)!(argc > 3 ? run_once(argv[1], steps) : go_on(argv[1], steps));
    if (grd_scope_end(scope) == GRD_OK)
        return 0;
    fprintf(stderr, "%s\n", grd_error_message());
    return 1;
}
