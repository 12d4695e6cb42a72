/* What tests ask of the emulated driver, beside what they ask of any: found by dlsym. */
#ifndef TESTS_CUDA_DRIVER_H
#define TESTS_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

long emulated_calls(void);                  /* that were made so far */
void emulated_fail(long after, int result); /* the call that comes so much later; 0: none */
size_t emulated_held(void);                 /* bytes of device memory */
long emulated_objects(void);                /* other things that are held */
long emulated_waits(void);                  /* of the host, for work that was not done by itself */
long emulated_instantiations(void);         /* of graphs */
void emulated_limit(size_t bytes);          /* of device memory */
void emulated_schedule(int order, uint64_t seed);

#ifdef __cplusplus
}
#endif

#endif
