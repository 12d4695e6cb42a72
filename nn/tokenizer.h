/* Tokenizers from inside: for data sets and checkpoints. */
#ifndef GRDI_TOKENIZER_H
#define GRDI_TOKENIZER_H

#include "tensor/object.h"
#include <gradus/data.h>

enum { GRDI_TOKEN_TEXT = 16 };

struct grd_tokenizer {
    grdi_object object;
    int64_t size;
    int32_t *codes;                 /* of characters, rising; NULL: bytes */
    char (*texts)[GRDI_TOKEN_TEXT]; /* for people */
};

/* All characters of a text, or an error that says where it is none. */
grd_tokenizer *grdi_tokenizer_of(const char *op, const char *text, size_t size);

/* Writes all its characters, rising, unless out is NULL; returns their bytes. */
size_t grdi_tokenizer_alphabet(const grd_tokenizer *tokenizer, char *out);

/* Writes text's tokens, at most `size` of them, and returns how many; -1 with an error that names
 * the first character that has none. `tokens` NULL: only counts. */
int64_t grdi_encode(const char *op, const grd_tokenizer *tokenizer, const char *text, size_t size,
                    int32_t *tokens);

#endif
