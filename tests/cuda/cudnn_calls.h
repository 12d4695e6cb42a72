/* A call of attention on the CPU and on the emulated GPU, and the fake cuDNN. */
#ifndef TESTS_CUDA_CUDNN_CALLS_H
#define TESTS_CUDA_CUDNN_CALLS_H

#include "tensor/cuda/cudnn_flash.h"
#include "tests/cuda/cudnn_fake.h"

typedef struct fake {
    long (*calls)(void);
    void (*fail)(long after, int status);
    long (*held)(void);
    long (*graphs)(void);
    void (*engines)(int best, int fallback, int64_t workspace);
} fake;

/* The test is skipped where the environment names none. */
fake need_fake(void);

enum { FAR = 1 << 30 };

/* What differs from B 2, Hq = H = 4, L = S = 20, D = Dv = 8 in f16, where all keys are seen. Bits
 * of a mask say which of its four sizes are not 1. */
typedef struct call {
    const char *name;
    int64_t key_heads, queries, keys, size, value_size;
    bool bf16, causal, by_length, heads_first;
    bool doutput_first; /* the heads of doutput alone lie first */
    bool poisoned;      /* the last key and its value are NaN */
    int64_t offset, window, softcap, appended;
    int keep, additive;
    const int64_t *lengths;
    double dropout;
} call;

enum { PER_PAIR = 3, PER_HEAD = 7, PER_SAMPLE = 11, PER_BOTH = 15, OF_KEYS = 9 };

typedef enum which {
    QUERY,
    KEY,
    VALUE,
    DOUTPUT,
    OUTPUT,
    LOGSUMEXP,
    DQUERY,
    DKEY,
    DVALUE,
    ADDITIVE,
    DADDITIVE,
    KEEP,
    LENGTHS,
    ARRAYS
} which;

/* A call's arrays on a device. `dadditive` spreads that of additive. */
typedef struct side {
    grd_device *device;
    grdi_flash how;
    grdi_array x[ARRAYS];
} side;

/* Sets both, with the same numbers: the CPU's in f32, the GPU's in the call's dtype. */
void begin_sides(side sides[2], const call *c);
void end_side(side *s, const call *c); /* frees its memory */

grd_shape shape_of(const call *c, which w);

typedef grd_status forward(grd_device *device, const grdi_flash *how, const grdi_array *output,
                           const grdi_array *logsumexp, const grdi_array *query,
                           const grdi_array *key, const grdi_array *value);
typedef grd_status backward(grd_device *device, const grdi_flash *how,
                            const grdi_flash_gradient *gradient, const grdi_array *query,
                            const grdi_array *key, const grdi_array *value);

grd_status go(side *s, forward *f);
grd_status go_back(side *s, backward *b, bool dadditive);

/* An array's elements, as they lie in memory, as f64. */
double *read_back(const side *s, const call *c, which w);

void expect_ok(grd_status status, const call *c, const char *what);

#endif
