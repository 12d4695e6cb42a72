/* Results that are too large for the caches to hold until they are read. Written past the caches,
 * memory is not read first, and what the caches hold stays. */
#ifndef GRDI_CPU_STREAM_H
#define GRDI_CPU_STREAM_H

#include "tensor/cpu/rows.h"

/* Whether all of y is that large. */
bool grdi_is_large(const grdi_array *y);

/* Copies like memcpy, but in no order with other writes: a thread that has streamed calls
 * grdi_streamed before another may read it. */
void grdi_stream(void *to, const void *from, size_t bytes);
void grdi_streamed(void);

#endif
