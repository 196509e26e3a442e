// Marks a function that runs on the host and, compiled by nvcc, on a GPU as well, so that both
// compute the same thing from the same text. Nothing of CUDA is needed elsewhere.
#pragma once

#ifdef __CUDACC__
#define ENCKE_HOST_DEVICE __host__ __device__
#else
#define ENCKE_HOST_DEVICE
#endif
