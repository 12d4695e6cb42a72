#include "tensor/cuda/driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct found {
    grdi_driver driver;
    char why[256]; /* there is none; "": there is */
} found;

/* A function pointer and an object pointer are of one size wherever dlsym exists. */
static void copy_symbol(void *function, void *symbol)
{
    memcpy(function, &symbol, sizeof symbol);
}

static bool find_functions(found *f, void *library)
{
#define DRIVER(name, parameters)                                                                   \
    copy_symbol(&f->driver.name, dlsym(library, #name));                                           \
    if (!f->driver.name) {                                                                         \
        snprintf(f->why, sizeof f->why, "the driver is too old: it has no " #name);                \
        return false;                                                                              \
    }
#include "tensor/cuda/driver.def"
#undef DRIVER
    return true;
}

static bool succeeded(found *f, const char *call, int result)
{
    const char *text = NULL;
    if (result == 0)
        return true;
    if (result == GRDI_CU_NO_DEVICE)
        snprintf(f->why, sizeof f->why, "the driver finds no GPU");
    else if (f->driver.cuGetErrorString(result, &text) == 0 && text)
        snprintf(f->why, sizeof f->why, "%s says: %s (%d)", call, text, result);
    else
        snprintf(f->why, sizeof f->why, "%s fails with %d", call, result);
    return false;
}

static bool is_new_enough(found *f)
{
    const int version = f->driver.version;
    if (version >= GRDI_CU_OLDEST)
        return true;
    snprintf(f->why, sizeof f->why,
             "the driver is of CUDA %d.%d, and %d.0 is the oldest that will do", version / 1000,
             version % 1000 / 10, GRDI_CU_OLDEST / 1000);
    return false;
}

static void find(found *f)
{
    const char *set = getenv("GRADUS_CUDA_DRIVER");
    const char *file = set && *set ? set : "libcuda.so.1";
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *text = dlerror();
        snprintf(f->why, sizeof f->why, "there is no NVIDIA driver (%s)", text ? text : file);
        return;
    }
    grdi_driver *d = &f->driver;
    if (find_functions(f, library) &&
        succeeded(f, "cuDriverGetVersion", d->cuDriverGetVersion(&d->version)) &&
        is_new_enough(f) && succeeded(f, "cuInit", d->cuInit(0)) &&
        succeeded(f, "cuDeviceGetCount", d->cuDeviceGetCount(&d->devices)) && d->devices == 0)
        snprintf(f->why, sizeof f->why, "the driver finds no GPU");
}

static found driver;

static void find_once(void)
{
    find(&driver);
}

const grdi_driver *grdi_cuda_driver(const char **why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_once);
    *why = driver.why;
    return *driver.why ? NULL : &driver.driver;
}
