// A CUDA runtime without a device, for tests of what the host does: linked in place of the real
// one.
//
// Streams are queues. Their work is done only when somebody asks or waits, a piece at a time, from
// a queue chosen at random among those that do not wait for an event. So an order that the program
// does not enforce will not be kept. Device memory is the host's.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>

namespace encke::testing {

// Begins a new sequence of choices.
void SeedFakeCuda(uint64_t seed);
// Work of the caller's own, as a kernel would be.
void Enqueue(cudaStream_t stream, std::function<void()> work);
// How often the host has waited for a stream or an event since the last call.
int TakeHostWaits();
// Bytes that were to be copied from host to device since the last call.
int64_t TakeCopiedToDevice();

}  // namespace encke::testing
