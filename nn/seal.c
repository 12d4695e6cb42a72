#include "nn/seal.h"

#include <nettle/sha2.h>
#include <string.h>

enum { VERSION = 1, VERSION_AT = 8, BLOCK_AT = 12, LENGTH_AT = 16, DIGEST_AT = 24, LINE_AT = 56 };

static const unsigned char magic[8] = { 0x89, 'G', 'R', 'D', '\r', '\n', 0x1a, '\n' };
static const char line[] = "Gradus checkpoint. From byte 512 on this is an HDF5 file.\n";

static void put(unsigned char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static void digest(const grdi_bytes *bytes, uint8_t out[SHA256_DIGEST_SIZE])
{
    static const uint8_t zeros[SHA256_DIGEST_SIZE];
    const size_t after = DIGEST_AT + SHA256_DIGEST_SIZE;
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, DIGEST_AT, bytes->data);
    sha256_update(&context, sizeof zeros, zeros);
    sha256_update(&context, bytes->size - after, bytes->data + after);
    sha256_digest(&context, SHA256_DIGEST_SIZE, out);
}

void grdi_seal(grdi_bytes *bytes)
{
    unsigned char *block = bytes->data;
    memset(block, 0, GRDI_SEAL_SIZE);
    memcpy(block, magic, sizeof magic);
    put(block + VERSION_AT, VERSION, 4);
    put(block + BLOCK_AT, GRDI_SEAL_SIZE, 4);
    put(block + LENGTH_AT, bytes->size - GRDI_SEAL_SIZE, 8);
    memcpy(block + LINE_AT, line, sizeof line);
    digest(bytes, block + DIGEST_AT);
}

static bool refuse_foreign(const char *op, const char *file, const grdi_bytes *bytes)
{
    static const unsigned char hdf5[8] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n' };
    if (!bytes->size)
        return grdi_fail(GRD_ERROR_FORMAT, op, "%s: the file is empty", file);
    if (bytes->size >= sizeof hdf5 && memcmp(bytes->data, hdf5, sizeof hdf5) == 0)
        return grdi_fail(GRD_ERROR_FORMAT, op,
                         "%s: an HDF5 file, but no Gradus checkpoint: it lacks the header that "
                         "says that it is whole (safetensors files can be imported)",
                         file);
    return grdi_fail(GRD_ERROR_FORMAT, op, "%s: not a Gradus checkpoint", file);
}

bool grdi_sealed(const char *op, const char *file, const grdi_bytes *bytes)
{
    uint8_t found[SHA256_DIGEST_SIZE];
    const unsigned char *block = bytes->data;
    const size_t known = bytes->size < sizeof magic ? bytes->size : sizeof magic;
    if (!known || memcmp(block, magic, known) != 0)
        return refuse_foreign(op, file, bytes);
    if (bytes->size < GRDI_SEAL_SIZE)
        return grdi_fail(GRD_ERROR_FORMAT, op, "%s: cut off: %zu bytes, less than the header's 512",
                         file, bytes->size);
    const uint64_t version = get(block + VERSION_AT, 4), length = get(block + LENGTH_AT, 8);
    if (version != VERSION || get(block + BLOCK_AT, 4) != GRDI_SEAL_SIZE)
        return grdi_fail(GRD_ERROR_FORMAT, op,
                         "%s: written in version %llu of the format, this library reads %d", file,
                         (unsigned long long)version, VERSION);
    if (length != bytes->size - GRDI_SEAL_SIZE)
        return grdi_fail(GRD_ERROR_FORMAT, op,
                         "%s: %s: %zu bytes after the header, which says %llu", file,
                         length > bytes->size - GRDI_SEAL_SIZE ? "cut off" : "too long",
                         bytes->size - GRDI_SEAL_SIZE, (unsigned long long)length);
    digest(bytes, found);
    return memcmp(found, block + DIGEST_AT, sizeof found) == 0 ||
           grdi_fail(GRD_ERROR_FORMAT, op, "%s: damaged: its bytes do not fit its digest", file);
}
