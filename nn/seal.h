/* What stands before the HDF5 file in a checkpoint: 512 bytes, which HDF5 skips as a user block.
 *
 *     0  8   89 47 52 44 0d 0a 1a 0a
 *     8  4   version, 1 (little-endian, as all numbers here)
 *    12  4   bytes of this block, 512
 *    16  8   bytes after it
 *    24  32  SHA-256 of this block, with zeros here, and all after it
 *    56  456 a line for people, then zeros
 *
 * So one digest covers every byte of the file, and libhdf5, which does not survive every damaged
 * file, meets only whole ones. It stops accidents, not attackers: who can write the file can seal
 * it. */
#ifndef GRDI_SEAL_H
#define GRDI_SEAL_H

#include "nn/files.h"

enum { GRDI_SEAL_SIZE = 512 };

/* Fills the first 512 of the bytes. */
void grdi_seal(grdi_bytes *bytes);

/* Whether they are whole; otherwise GRD_ERROR_FORMAT with what is wrong with the file. */
bool grdi_sealed(const char *op, const char *file, const grdi_bytes *bytes);

#endif
