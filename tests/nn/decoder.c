/* Decoder layers, and stacks of encoder and decoder layers: their own contracts. */
#include "tests/nn/expect.h"
