/* What tests ask of the emulated cuBLASLt: found by dlsym in the emulated driver's file. */
#ifndef TESTS_CUDA_CUBLAS_H
#define TESTS_CUDA_CUBLAS_H

#ifdef __cplusplus
extern "C" {
#endif

long emulated_products(void);    /* that were started */
long emulated_heuristics(void);  /* that were asked */
long emulated_descriptors(void); /* that are held */
int emulated_computed_in(void);  /* what the last product said */
/* The nth call from now on that may fail (0: none) ends with this status; products below `rows`
 * have no algorithm. */
void emulated_cublas_fail(long after, int status);
void emulated_cublas_least_rows(long rows);

#ifdef __cplusplus
}
#endif

#endif
