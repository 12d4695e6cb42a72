#include "tensor/cuda/cublas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static grdi_cublas functions;
static bool is_found;

/* A function pointer and an object pointer are of one size wherever dlsym exists. */
static bool find_function(void *function, void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol;
}

static bool find_functions(void *library)
{
    bool all = true;
#define CUBLAS(name, parameters) all &= find_function(&functions.name, library, #name);
#include "tensor/cuda/cublas.def"
#undef CUBLAS
    return all;
}

static void *open_first(const char *const files[])
{
    void *library = NULL;
    for (int i = 0; files[i] && !library; i++)
        library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
    return library;
}

static void find(void)
{
    static const char *const usual[] = { "libcublasLt.so.13", "libcublasLt.so.12", NULL };
    const char *named = getenv("GRADUS_CUBLAS"), *driver = getenv("GRADUS_CUDA_DRIVER");
    const bool only_named = (named && *named) || (driver && *driver);
    void *library = open_first(only_named ? (const char *const[]){ named, NULL } : usual);
    is_found = library && find_functions(library);
}

const grdi_cublas *grdi_cuda_cublas(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find);
    return is_found ? &functions : NULL;
}
