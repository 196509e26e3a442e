#include "compression/cuda/launch.cuh"

namespace encke::cuda {
namespace {

template <typename T, typename Rule>
__global__ void __launch_bounds__(kBlockThreads)
    DecodeFast(StoredValueView view, RuleTables<Rule> rules, DecodeRequest<T> request) {
  __shared__ FastDecodeMemory memory[kBlockWarps];
  __shared__ NibbleTable deposited;
  FillDeposited(&deposited);
  DeviceWarp warp;
  DecodeSegments<DeviceWarp, T, Rule>(warp, view, rules, deposited, request,
                                      static_cast<uint32_t>(WarpInGrid()) * kOctets,
                                      &memory[WarpInBlock()]);
}

template <typename T, typename Rule>
__global__ void __launch_bounds__(kBlockThreads)
    DecodeDense(StoredValueView view, RuleTables<Rule> rules, DecodeRequest<T> request,
                const DenseTables* dense, uint8_t* scratch, uint64_t scratch_stride) {
  __shared__ SharedTables shared;
  const DenseTables& tables = shared.Load(dense);
  DeviceWarp warp;
  uint8_t* own = scratch + WarpInGrid() * scratch_stride;
  const uint64_t step = uint64_t{gridDim.x} * kBlockWarps * kTeams;
  for (uint64_t i = request.first_chunk + WarpInGrid() * kTeams; i < request.end_chunk; i += step) {
    DecodeDensePair<DeviceWarp, T, Rule>(warp, view, rules, tables, request, i, own);
  }
}

template <typename T, typename Rule>
__global__ void __launch_bounds__(kBlockThreads)
    DecodeOthers(StoredValueView view, RuleTables<Rule> rules, DecodeRequest<T> request,
                 bool dense) {
  __shared__ FastDecodeMemory memory[kBlockWarps];
  __shared__ NibbleTable deposited;
  FillDeposited(&deposited);
  DeviceWarp warp;
  const uint64_t index = request.first_chunk + WarpInGrid();
  if (index >= request.end_chunk) return;
  DecodeRest<DeviceWarp, T, Rule>(warp, view, rules, deposited, request, dense, index,
                                  &memory[WarpInBlock()]);
}

}  // namespace

void LaunchDecode(const StoredValueView& view, const DecodeSpan& span, const DeviceCoding& coding,
                  uint8_t* scratch, int warps, cudaStream_t stream) {
  const uint64_t chunks = span.end_chunk - span.first_chunk;
  if (chunks == 0) return;
  const bool dense = coding.dense != nullptr;
  WithTypes(coding, [&](auto t, auto rules) {
    using T = decltype(t);
    const DecodeRequest<T> request = {
        {static_cast<T*>(span.out), span.first, span.end}, span.first_chunk, span.end_chunk};
    if (dense) {
      const uint64_t stride = DenseScratchBytes(view.chunking, 1);
      DecodeDense<<<BlocksFor(warps), kBlockThreads, 0, stream>>>(view, rules, request,
                                                                  coding.dense, scratch, stride);
    } else if (view.segments > 0) {
      const uint64_t segments = chunks * view.segments;
      DecodeFast<<<BlocksFor((segments + kOctets - 1) / kOctets), kBlockThreads, 0, stream>>>(
          view, rules, request);
    }
    DecodeOthers<<<BlocksFor(chunks), kBlockThreads, 0, stream>>>(view, rules, request, dense);
  });
}

}  // namespace encke::cuda
