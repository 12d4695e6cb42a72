#include "tests/cuda/emulation.h"

#include "tests/cuda/planted.cu"
