/* That cuDNN's numbers are what we take them for: compiled where its header is installed. */
#include "tensor/cuda/cudnn.h"

#include <cudnn_graph.h>

#define CUDNN_NUMBER(name, its, value) _Static_assert((int)its == value, #its);
#include "tensor/cuda/cudnn_numbers.def"
#undef CUDNN_NUMBER

/* And its functions: each is assigned to a pointer of the type that we call it by, but for the
 * names of enums and of opaque types, which differ. */
#define CUDNN(result, name, parameters)                                                            \
    _Static_assert(sizeof(&name) == sizeof(((grdi_cudnn *)0)->name), #name);
#include "tensor/cuda/cudnn.def"
#undef CUDNN

_Static_assert(sizeof(cudnnStatus_t) == sizeof(int), "enums are passed as int");
_Static_assert(sizeof(cudnnDataType_t) == sizeof(int), "enums are stored as int");
