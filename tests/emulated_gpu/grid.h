// Runs a kernel's threads on the CPU, one at a time, block after block.
//
// A thread runs until it waits for others or returns, so that __syncthreads and the operations of a
// warp do what they do on a GPU. In which order a block's threads get their turns is drawn anew for
// each block; blocks run forwards and backwards in turn. So what depends on an order that no
// barrier makes gives other results than it should. The program ends with a message where a kernel
// would hang or be undefined on a GPU: lanes of a warp in different operations, an operation for a
// lane that has returned or is not there, an empty grid. Barriers are not told apart by their
// place.
#pragma once

#include <vector_types.h>

#include <cstdint>
#include <functional>

namespace encke::emulated_gpu {

constexpr int kLanes = 32;  // of a warp

// Runs `thread` for every thread of the grid.
void RunGrid(dim3 grid, dim3 block, const std::function<void()>& thread);

// The following are for threads.

void AwaitBlock();

// What lanes of a warp give each other.
struct Exchange {
  int lane;                // own
  const uint64_t* values;  // by lane; until the next exchange but one
  uint64_t At(int other) const { return values[other]; }
};
// Waits for the other lanes of the warp, all of which have to come. `operation`: by name, the same
// for all of them.
Exchange ExchangeInWarp(uint32_t mask, uint64_t value, const char* operation);

}  // namespace encke::emulated_gpu
