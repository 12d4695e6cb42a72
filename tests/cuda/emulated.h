/* The emulated driver, for tests that need one: they are skipped where the environment names none.
 */
#ifndef TESTS_CUDA_EMULATED_H
#define TESTS_CUDA_EMULATED_H

#include "tests/cuda/driver.h"

typedef struct emulated {
    long (*calls)(void);
    void (*fail)(long after, int result);
    size_t (*held)(void);
    long (*objects)(void);
    long (*waits)(void);
    long (*instantiations)(void);
    void (*limit)(size_t bytes);
    void (*schedule)(int order, uint64_t seed);
} emulated;

emulated need_emulated(void);

/* The same of any driver. */
void need_gpu(void);

#endif
