#include "tensor/cuda/cudnn.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct found {
    grdi_cudnn cudnn;
    char why[256]; /* there is none; "": there is */
} found;

static void copy_symbol(void *function, void *symbol)
{
    memcpy(function, &symbol, sizeof symbol);
}

static bool find_functions(found *f, void *library)
{
#define CUDNN(result, name, parameters)                                                            \
    copy_symbol(&f->cudnn.name, dlsym(library, #name));                                            \
    if (!f->cudnn.name) {                                                                          \
        snprintf(f->why, sizeof f->why, "this cuDNN has no " #name);                               \
        return false;                                                                              \
    }
#include "tensor/cuda/cudnn.def"
#undef CUDNN
    return true;
}

/* The whole cuDNN, or the part that is needed. */
static void *open_library(const char *set)
{
    static const char *const files[] = { "libcudnn.so.9", "libcudnn_graph.so.9" };
    void *library = NULL;
    if (set && *set)
        return dlopen(set, RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; i < sizeof files / sizeof *files && !library; i++)
        library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
    return library;
}

static void find(found *f)
{
    const char *set = getenv("GRADUS_CUDNN"), *driver = getenv("GRADUS_CUDA_DRIVER");
    if (driver && *driver && !(set && *set)) {
        snprintf(f->why, sizeof f->why,
                 "GRADUS_CUDA_DRIVER names a driver, and GRADUS_CUDNN no cuDNN for it");
        return;
    }
    if (set && strcmp(set, "0") == 0) {
        snprintf(f->why, sizeof f->why, "GRADUS_CUDNN=0 switches cuDNN off");
        return;
    }
    void *library = open_library(set);
    if (!library) {
        const char *text = dlerror();
        snprintf(f->why, sizeof f->why, "there is no cuDNN 9 (%s)", text ? text : "libcudnn.so.9");
        return;
    }
    if (!find_functions(f, library))
        return;
    const int64_t version = f->cudnn.version = (int64_t)f->cudnn.cudnnGetVersion();
    if (version < GRDI_CUDNN_OLDEST)
        snprintf(f->why, sizeof f->why, "cuDNN is %d.%d, and %d.%d is the oldest that will do",
                 (int)(version / 10000), (int)(version / 100 % 100), GRDI_CUDNN_OLDEST / 10000,
                 GRDI_CUDNN_OLDEST / 100 % 100);
}

static found cudnn;

static void find_once(void)
{
    find(&cudnn);
}

const grdi_cudnn *grdi_cudnn_find(const char **why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_once);
    *why = cudnn.why;
    return *cudnn.why ? NULL : &cudnn.cudnn;
}
