#include "tests/emulated_gpu/grid.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/core/rng.h"
#include "tests/emulated_gpu/device_code.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace encke::emulated_gpu {
namespace {

constexpr size_t kStackBytes = 128 << 10;
constexpr int kMostThreads = 1024;  // of a block

[[noreturn]] void Fail(const char* what, const char* detail = "") {
  std::fprintf(stderr, "emulated GPU: block (%u, %u), thread (%u, %u): %s%s\n", blockIdx.x,
               blockIdx.y, threadIdx.x, threadIdx.y, what, detail);
  std::abort();
}

struct Warp {
  int lanes = 0, arrived = 0;
  bool returned = false;  // one of them at least
  uint64_t generation = 0;
  const char* operation = nullptr;
  uint64_t values[2][kLanes];
};

// A stack on which threads run, one after the other.
struct Fiber {
  std::unique_ptr<char[]> stack;
  ucontext_t start;
  jmp_buf resume;
  bool started = false, returned = false;
  uint3 thread;
  int number;  // within the block
};

class Block {
 public:
  Block() : fibers_(kMostThreads), warps_(kMostThreads / kLanes) {}

  void Run(const std::function<void()>& thread);
  void Await();
  Exchange ExchangeInWarp(uint64_t value, const char* operation);

 private:
  static void Enter();
  void Resume(Fiber* fiber);
  void Yield();
  void Return();

  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  std::vector<int> order_;
  Rng rng_{0, RngStream::TEST};
  const std::function<void()>* thread_ = nullptr;
  Fiber* current_ = nullptr;
  jmp_buf scheduler_;
  ucontext_t scheduler_start_;
  int alive_ = 0, arrived_ = 0;
  uint64_t generation_ = 0;
  bool progress_ = false;
};

Block& TheBlock() {
  static Block block;
  return block;
}

void Block::Run(const std::function<void()>& thread) {
  thread_ = &thread;
  const unsigned x = blockDim.x, y = blockDim.y, threads = x * y;
  if (threads == 0 || threads > kMostThreads || blockDim.z != 1) Fail("the block's size");
  order_.resize(threads);
  for (unsigned i = 0; i < threads; ++i) {
    order_[i] = static_cast<int>(i);
    std::swap(order_[i], order_[rng_.Below(i + 1)]);
    fibers_[i].returned = false;
    fibers_[i].thread = {i % x, i / x, 0};
    fibers_[i].number = static_cast<int>(i);
  }
  for (unsigned w = 0; w * kLanes < threads; ++w) {
    Warp& warp = warps_[w];
    warp.lanes = static_cast<int>(std::min<unsigned>(threads - w * kLanes, kLanes));
    warp.arrived = 0;
    warp.returned = false;
  }
  alive_ = static_cast<int>(threads);
  arrived_ = 0;
  while (alive_ > 0) {
    progress_ = false;
    for (const int i : order_) {
      if (!fibers_[i].returned) Resume(&fibers_[i]);
    }
    if (!progress_) Fail("waits for ever");
  }
}

void Block::Resume(Fiber* fiber) {
  current_ = fiber;
  threadIdx = fiber->thread;
  if (_setjmp(scheduler_) != 0) return;
  if (fiber->started) _longjmp(fiber->resume, 1);
  fiber->started = true;
  fiber->stack.reset(new char[kStackBytes]);
  getcontext(&fiber->start);
  fiber->start.uc_stack.ss_sp = fiber->stack.get();
  fiber->start.uc_stack.ss_size = kStackBytes;
  fiber->start.uc_link = nullptr;
  makecontext(&fiber->start, &Block::Enter, 0);
  swapcontext(&scheduler_start_, &fiber->start);
}

void Block::Enter() {
  Block& block = TheBlock();
  for (;;) {
    (*block.thread_)();
    block.Return();
    block.Yield();
  }
}

void Block::Yield() {
  if (_setjmp(current_->resume) == 0) _longjmp(scheduler_, 1);
}

void Block::Return() {
  Warp& warp = warps_[current_->number / kLanes];
  if (warp.arrived > 0) Fail("returns, and others of its warp wait for it in ", warp.operation);
  current_->returned = warp.returned = progress_ = true;
  if (--alive_ > 0 && arrived_ == alive_) {
    arrived_ = 0;
    ++generation_;
  }
}

void Block::Await() {
  progress_ = true;
  const uint64_t generation = generation_;
  if (++arrived_ == alive_) {
    arrived_ = 0;
    ++generation_;
    return;
  }
  while (generation_ == generation) Yield();
}

Exchange Block::ExchangeInWarp(uint64_t value, const char* operation) {
  progress_ = true;
  Warp& warp = warps_[current_->number / kLanes];
  const int lane = current_->number % kLanes;
  const uint64_t generation = warp.generation;
  uint64_t* values = warp.values[generation % 2];
  if (warp.lanes < kLanes) Fail("its warp has no 32 lanes for ", operation);
  if (warp.returned) Fail("lanes of its warp have returned that take part in ", operation);
  if (warp.arrived == 0) warp.operation = operation;
  if (std::strcmp(warp.operation, operation) != 0)
    Fail("lanes of its warp are elsewhere than in ", operation);
  values[lane] = value;
  if (++warp.arrived == warp.lanes) {
    warp.arrived = 0;
    ++warp.generation;
  }
  while (warp.generation == generation) Yield();
  return {lane, values};
}

}  // namespace

void RunGrid(dim3 grid, dim3 block, const std::function<void()>& thread) {
  if (grid.x == 0 || grid.y == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z != 1) {
    Fail("the grid's size");
  }
  blockDim = block;
  gridDim = grid;
  const uint64_t blocks = uint64_t{grid.x} * grid.y;
  static uint64_t grids = 0;
  const bool backwards = ++grids % 2 == 0;
  for (uint64_t i = 0; i < blocks; ++i) {
    const uint64_t b = backwards ? blocks - 1 - i : i;
    blockIdx = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x), 0};
    TheBlock().Run(thread);
  }
}

void AwaitBlock() { TheBlock().Await(); }

Exchange ExchangeInWarp(uint32_t mask, uint64_t value, const char* operation) {
  if (mask != 0xffffffffu) Fail("only whole warps are emulated: ", operation);
  return TheBlock().ExchangeInWarp(value, operation);
}

}  // namespace encke::emulated_gpu
