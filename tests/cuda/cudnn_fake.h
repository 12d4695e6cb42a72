/* What tests ask of the fake cuDNN: found by dlsym. */
#ifndef TESTS_CUDA_CUDNN_FAKE_H
#define TESTS_CUDA_CUDNN_FAKE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

long fake_cudnn_calls(void);
void fake_cudnn_fail(long after, int status); /* the call that comes so much later; 0: none */
long fake_cudnn_held(void);                   /* descriptors and handles */
long fake_cudnn_graphs(void);                 /* that were finalized so far */
void fake_cudnn_engines(int best, int fallback, int64_t workspace); /* what its lists hold */

#ifdef __cplusplus
}
#endif

#endif
