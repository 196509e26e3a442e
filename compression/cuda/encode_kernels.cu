#include <algorithm>

#include "compression/cuda/launch.cuh"

namespace encke::cuda {
namespace {

constexpr int kSumThreads = 256;
constexpr int kDenseWarpsEach = 24;  // of a multiprocessor
// Likewise blocks, as far as registers are concerned: with fewer, latencies show, with more, lanes
// spill (doc/decisions.md).
constexpr int kFastBlocksEach = 7;

__global__ void Begin(StoredValueView view) { BeginValue(view); }

template <typename T, typename Rule>
__global__ void __launch_bounds__(kBlockThreads, kFastBlocksEach)
    EncodeFast(StoredValueView view, const T* value, RuleTables<Rule> rules, bool only_missing) {
  static_assert(kBlockWarps == kCrewWarps);
  __shared__ FastEncodeMemory<T> memory;
  __shared__ NibbleTable extracted;
  FillExtracted(&extracted);
  DeviceCrew crew;
  EncodeFastChunk<DeviceCrew, T, Rule>(crew, view, value, rules, extracted, blockIdx.x,
                                       only_missing, &memory);
}

template <typename T, typename Rule>
__global__ void __launch_bounds__(kBlockThreads)
    EncodeDense(StoredValueView view, const T* value, RuleTables<Rule> rules,
                const DenseTables* dense, uint8_t* scratch, uint64_t scratch_stride) {
  __shared__ SharedTables shared;
  __shared__ DenseEncodeMemory memory[kBlockWarps];
  const DenseTables& tables = shared.Load(dense);
  DeviceWarp warp;
  uint8_t* own = scratch + WarpInGrid() * scratch_stride;
  const uint64_t step = uint64_t{gridDim.x} * kBlockWarps * kTeams;
  for (uint64_t i = WarpInGrid() * kTeams; i < static_cast<uint64_t>(view.chunking.count());
       i += step) {
    EncodeDensePair<DeviceWarp, T, Rule>(warp, view, value, rules, tables, i, own,
                                         &memory[WarpInBlock()]);
  }
}

// Sums in an order that depends on nothing but the number of chunks.
__global__ void __launch_bounds__(kSumThreads) Finish(StoredValueView view) {
  __shared__ int64_t nonzero[kSumThreads], escapes[kSumThreads];
  __shared__ double squares[kSumThreads];
  const unsigned t = threadIdx.x;
  nonzero[t] = escapes[t] = 0;
  squares[t] = 0;
  if (view.record->overflowed == 0) {
    for (int64_t i = t; i < view.chunking.count(); i += kSumThreads) {
      nonzero[t] += view.statistics[i].nonzero;
      escapes[t] += view.statistics[i].escapes;
      squares[t] += view.statistics[i].squares;
    }
  }
  for (unsigned distance = kSumThreads / 2; distance > 0; distance /= 2) {
    __syncthreads();
    if (t >= distance) continue;
    nonzero[t] += nonzero[t + distance];
    escapes[t] += escapes[t + distance];
    squares[t] += squares[t + distance];
  }
  if (t != 0) return;
  view.record->nonzero = nonzero[0];
  view.record->escapes = escapes[0];
  view.record->squares = squares[0];
  view.record->end = *view.arena.used;
}

uint64_t ScratchOfWarp(const Chunking& chunking) {
  return kTeams * DenseScratch::Bytes(static_cast<uint32_t>(chunking.Largest().elements()));
}

}  // namespace

uint64_t DenseScratchBytes(const Chunking& chunking, int warps) {
  return ScratchOfWarp(chunking) * static_cast<uint64_t>(warps);
}

int DenseWarps(int multiprocessors, const Chunking& chunking) {
  const int64_t useful = (chunking.count() + kTeams - 1) / kTeams;
  const int64_t warps = std::min<int64_t>(int64_t{multiprocessors} * kDenseWarpsEach, useful);
  return static_cast<int>((warps + kBlockWarps - 1) / kBlockWarps * kBlockWarps);
}

void LaunchEncode(const StoredValueView& view, const void* value, const DeviceCoding& coding,
                  uint8_t* scratch, int warps, cudaStream_t stream) {
  const auto chunks = static_cast<uint64_t>(view.chunking.count());
  const bool dense = coding.dense != nullptr;
  Begin<<<1, 1, 0, stream>>>(view);
  if (chunks > 0) {
    WithTypes(coding, [&](auto t, auto rules) {
      const auto* data = static_cast<const decltype(t)*>(value);
      if (dense) {
        EncodeDense<<<BlocksFor(warps), kBlockThreads, 0, stream>>>(
            view, data, rules, coding.dense, scratch, ScratchOfWarp(view.chunking));
      }
      EncodeFast<<<static_cast<unsigned>(chunks), kBlockThreads, 0, stream>>>(view, data, rules,
                                                                              dense);
    });
  }
  Finish<<<1, kSumThreads, 0, stream>>>(view);
}

}  // namespace encke::cuda
