/* What a page's data are made of, where JSON itself has no form for it. */
#include "view/page.h"

#include <math.h>
#include <nettle/base64.h>
#include <stdlib.h>
#include <zlib.h>

json_t *grdi_page_real(double x)
{
    if (isfinite(x))
        return json_real(x);
    return json_string(isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
}

static json_t *base64(const Bytef *bytes, size_t size)
{
    const size_t length = BASE64_ENCODE_RAW_LENGTH(size);
    char *text = malloc(length + 1);
    if (!text)
        return NULL;
    base64_encode_raw(text, size, bytes);
    json_t *result = json_stringn(text, length);
    free(text);
    return result;
}

json_t *grdi_page_blob(const void *data, size_t size)
{
    uLongf packed = compressBound(size);
    Bytef *bytes = malloc(packed);
    json_t *result = NULL;
    if (bytes && compress(bytes, &packed, data, size) == Z_OK)
        result = base64(bytes, packed);
    free(bytes);
    return result;
}
