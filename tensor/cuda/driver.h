/* CUDA's driver, found when it is first asked for: the library is built without CUDA's headers and
 * runs without its libraries. */
#ifndef GRDI_CUDA_DRIVER_H
#define GRDI_CUDA_DRIVER_H

#include <gradus/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct grdi_cu_context grdi_cu_context;
typedef struct grdi_cu_stream grdi_cu_stream;
typedef struct grdi_cu_event grdi_cu_event;
typedef struct grdi_cu_module grdi_cu_module;
typedef struct grdi_cu_function grdi_cu_function;
typedef struct grdi_cu_graph grdi_cu_graph;           /* calls that were collected, */
typedef struct grdi_cu_executable grdi_cu_executable; /* and made ready */
typedef uint64_t grdi_cu_memory;                      /* an address on the GPU */

/* Why a graph that is ready cannot take over another's arguments: the driver's, which is not read.
 */
typedef struct grdi_cu_update {
    int result;
    void *node, *from;
} grdi_cu_update;

/* What of the driver's numbers is used. */
enum {
    GRDI_CU_OUT_OF_MEMORY = 2,
    GRDI_CU_NO_DEVICE = 100,
    GRDI_CU_NO_IMAGE = 209, /* the kernels were not built for this GPU */
    GRDI_CU_BAD_IMAGE = 200,
    GRDI_CU_NOT_FOUND = 500,     /* an image has no kernel of that name */
    GRDI_CU_FIRST_LASTING = 700, /* these end the context: illegal addresses, failed launches, */
    GRDI_CU_LAST_LASTING = 719,
    GRDI_CU_NOT_UPDATED = 910,
    GRDI_CU_CAPTURE_RELAXED = 2,
    GRDI_CU_FIRST_FAULT = 214, /* and faults of the machine */
    GRDI_CU_LAST_FAULT = 227,

    GRDI_CU_ALIGNMENT = 14, /* attributes of a device */
    GRDI_CU_MULTIPROCESSORS = 16,
    GRDI_CU_MAJOR = 75,
    GRDI_CU_MINOR = 76,
    GRDI_CU_MOST_SHARED = 97,

    GRDI_CU_DYNAMIC_SHARED = 8, /* of a function */

    GRDI_CU_NON_BLOCKING = 1,   /* flags of a stream, */
    GRDI_CU_DISABLE_TIMING = 2, /* and of an event */
};

/* The oldest driver that runs what is called: CUDA 12.0. */
enum { GRDI_CU_OLDEST = 12000 };

typedef struct grdi_driver {
#define DRIVER(name, parameters) int(*name) parameters;
#include "tensor/cuda/driver.def"
#undef DRIVER
    int devices;
    int version;
} grdi_driver;

/* The driver, or NULL and why there is none, as a sentence's part. It is searched for once in a
 * process, in the file that GRADUS_CUDA_DRIVER names or else as libcuda.so.1. */
const grdi_driver *grdi_cuda_driver(const char **why);

#endif
