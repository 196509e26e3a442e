// A GPU on the CPU: CUDA's runtime without a device, linked in place of the real one.
//
// Streams are queues. Their work is done only when somebody asks or waits, a piece at a time, from
// a queue chosen at random among those that do not wait for an event. So an order that the program
// does not enforce will not be kept. Device memory is the host's; fresh memory holds garbage.
//
// Tests of what the host does give their own kernels (tests/compression/cuda). With
// --config=emulated_gpu the project's kernels run, thread by thread (tests/emulated_gpu/grid.h),
// and cuDNN and cuBLAS are plain loops that read the descriptors which the real ones would get.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>

namespace encke::emulated_gpu {

// Begins a new sequence of choices.
void SeedOrder(uint64_t seed);
// Work of the caller's own, as a kernel would be.
void Enqueue(cudaStream_t stream, std::function<void()> work);
// How often the host has waited for a stream or an event since the last call.
int TakeHostWaits();
// What a steady state has none of, since the last call.
struct Costs {
  int device_allocations = 0;  // and frees
  int page_locked = 0;         // allocations, and frees, which wait for the device
  int events = 0;              // made
  int pageable_copies = 0;     // asynchronous ones, which are not
};
Costs TakeCosts();
// Bytes that were to be copied from host to device since the last call.
int64_t TakeCopiedToDevice();
// How many copies to the host there were to be, likewise.
int TakeCopiesToHost();

}  // namespace encke::emulated_gpu
