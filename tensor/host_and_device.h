/* For functions that kernels share with the host. */
#ifndef GRDI_HOST_AND_DEVICE_H
#define GRDI_HOST_AND_DEVICE_H

#ifdef __CUDACC__
#define GRDI_HOST_AND_DEVICE __host__ __device__
#else
#define GRDI_HOST_AND_DEVICE
#endif

#endif
