/* Text as UTF-8: one code point at a time. */
#ifndef GRDI_UTF8_H
#define GRDI_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The code point that starts text, which is `size` > 0 bytes long, and how many bytes it takes; -1
 * where it is none (cut off, overlong, a surrogate, beyond U+10FFFF). */
int32_t grdi_utf8_next(const char *text, size_t size, size_t *taken);

/* Writes the code point, which is valid, and returns its bytes, 1 to 4. */
size_t grdi_utf8_put(int32_t code, char out[4]);

bool grdi_utf8_valid(const char *text, size_t size);

/* Whether a terminal or page shows nothing for it, or obeys it: control characters, separators of
 * lines, what turns the direction of writing. */
bool grdi_utf8_hidden(int32_t code);

/* Valid, and nothing hidden in it. */
bool grdi_utf8_plain(const char *text, size_t size);

#endif
