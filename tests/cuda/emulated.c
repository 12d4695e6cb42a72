#include "tests/cuda/emulated.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <gradus/gradus.h>
#include <stdlib.h>
#include <string.h>

static void find(void *function, void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    cr_assert(symbol, "%s", name);
    memcpy(function, &symbol, sizeof symbol);
}

void need_gpu(void)
{
    if (!grd_cuda_available())
        cr_skip_test("there is no GPU");
}

emulated need_emulated(void)
{
    emulated e = { 0 };
    const char *file = getenv("GRADUS_CUDA_DRIVER");
    void *library = file ? dlopen(file, RTLD_NOW) : NULL;
    if (!library || !dlsym(library, "emulated_calls"))
        cr_skip_test("GRADUS_CUDA_DRIVER names no emulated driver");
    find(&e.calls, library, "emulated_calls");
    find(&e.fail, library, "emulated_fail");
    find(&e.held, library, "emulated_held");
    find(&e.objects, library, "emulated_objects");
    find(&e.waits, library, "emulated_waits");
    find(&e.instantiations, library, "emulated_instantiations");
    find(&e.limit, library, "emulated_limit");
    find(&e.schedule, library, "emulated_schedule");
    return e;
}
