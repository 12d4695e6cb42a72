#include "tests/view/read_page.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <nettle/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    cr_assert(file, "%s", path);
    fseek(file, 0, SEEK_END);
    const size_t size = (size_t)ftell(file);
    char *text = malloc(size + 1);
    rewind(file);
    cr_assert_eq(fread(text, 1, size, file), size);
    text[size] = '\0';
    fclose(file);
    return text;
}

json_t *read_page(const char *path)
{
    static const char before[] = "id=\"data\">";
    json_error_t error;
    char *text = read_text(path), *from = strstr(text, before);
    cr_assert(from, "no data in %s", path);
    from += strlen(before);
    json_t *data = json_loadb(from, (size_t)(strstr(from, "</script>") - from), 0, &error);
    cr_assert(data, "%s", error.text);
    free(text);
    return data;
}

json_t *at(json_t *data, const char *path)
{
    char name[64];
    for (const char *rest = path; *rest; rest += *rest == '.') {
        const size_t length = strcspn(rest, ".");
        snprintf(name, sizeof name, "%.*s", (int)length, rest);
        data = isdigit((unsigned char)*name) && json_is_array(data)
                   ? json_array_get(data, (size_t)atoi(name))
                   : json_object_get(data, name);
        cr_assert(data, "no %s in %s", name, path);
        rest += length;
    }
    return data;
}

void *read_blob(const json_t *text, size_t size)
{
    struct base64_decode_ctx context;
    const size_t length = json_string_length(text);
    size_t packed = BASE64_DECODE_LENGTH(length);
    uint8_t *bytes = malloc(packed + 1), *blob = malloc(size + 1);
    uLongf got = size + 1;
    base64_decode_init(&context);
    cr_assert(base64_decode_update(&context, &packed, bytes, length, json_string_value(text)));
    cr_assert(base64_decode_final(&context));
    cr_assert_eq(uncompress(blob, &got, bytes, packed), Z_OK);
    cr_assert_eq(got, size);
    free(bytes);
    return blob;
}
