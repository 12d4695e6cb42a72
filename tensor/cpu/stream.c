#include "tensor/cpu/stream.h"

#include <string.h>

bool grdi_is_large(const grdi_array *y)
{
    enum { LARGE = 8 << 20 };
    return grdi_bytes(y, grdi_positions(y, y->rank)) >= LARGE;
}

#ifdef __SSE2__
#include <emmintrin.h>

enum { LINE = 64 };

/* How many bytes come before the next whole line of the cache. */
static size_t before_line(const void *to, size_t bytes)
{
    const size_t before = (size_t)(-(uintptr_t)to % LINE);
    return before < bytes ? before : bytes;
}

static void stream_line(char *to, const char *from)
{
    for (size_t i = 0; i < LINE; i += sizeof(__m128i))
        _mm_stream_si128((__m128i *)(to + i), _mm_loadu_si128((const __m128i *)(from + i)));
}

void grdi_stream(void *to, const void *from, size_t bytes)
{
    size_t done = before_line(to, bytes);
    memcpy(to, from, done);
    for (; done + LINE <= bytes; done += LINE)
        stream_line((char *)to + done, (const char *)from + done);
    memcpy((char *)to + done, (const char *)from + done, bytes - done);
}

void grdi_streamed(void)
{
    _mm_sfence();
}

#else

void grdi_stream(void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}

void grdi_streamed(void)
{
}

#endif
