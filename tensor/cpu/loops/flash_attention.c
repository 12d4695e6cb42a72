#include "tensor/cpu/loops.h"

/* Plain attention is the kernel's own, in f64. */

bool GRDI_LOOP(flash_attention_f32)(const grdi_head *head, int64_t first, int64_t last,
                                    float *output, int64_t output_row, float *logsumexp)
{
    (void)head;
    (void)first;
    (void)last;
    (void)output;
    (void)output_row;
    (void)logsumexp;
    return false;
}

bool GRDI_LOOP(flash_attention_backward_f32)(const grdi_head *head,
                                             const grdi_head_gradient *gradient)
{
    (void)head;
    (void)gradient;
    return false;
}
