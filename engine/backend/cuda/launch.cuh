// Runs the functors of the *_ops.h on the GPU. All launches are asynchronous on the given stream.
//
//   Each(stream, n, op)                       op(i) for i in [0, n)
//   Map(stream, n, op, y, a, b, ...)          y[i] = op(i, a[i], b[i], ...), 16 bytes at a time
//   ChannelMap(stream, rows, map, y, a, ...)  likewise, with what map.Load(c) keeps of channel c
//   ChannelSums(...)                          two sums of each channel, in a fixed order
//
// Outputs may be inputs: an element is read before it is written, by the same thread.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "engine/backend/cuda/partial_sums.h"
#include "engine/backend/cuda/status.h"
#include "engine/backend/cuda/value.h"
#include "engine/core/error.h"

namespace encke::cuda {

inline constexpr int kThreads = 256;  // of a block

inline unsigned BlocksFor(int64_t n, int64_t per_block) {
  const int64_t blocks = (n + per_block - 1) / per_block;
  ENCKE_CHECK(blocks <= INT32_MAX, n);
  return static_cast<unsigned>(blocks);
}

// Whether packs of N elements can be read from every one of the pointers.
template <int N, typename... T>
bool PacksFit(const T*... pointers) {
  return (... && (reinterpret_cast<uintptr_t>(pointers) % (sizeof(T) * N) == 0));
}

// ------------------------------------------------------------------------------------------ each

template <typename Op>
__global__ void __launch_bounds__(kThreads) EachKernel(int64_t n, Op op) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < n) op(i);
}

template <typename Op>
void Each(cudaStream_t stream, int64_t n, const Op& op) {
  if (n == 0) return;
  EachKernel<<<BlocksFor(n, kThreads), kThreads, 0, stream>>>(n, op);
  ENCKE_CUDA(cudaGetLastError());
}

// ------------------------------------------------------------------------------------------- map

template <int N, typename Op, typename Out, typename... In>
__device__ inline void MapPack(const Op& op, int64_t first, Out* out, const Pack<In, N>&... in) {
  Pack<Out, N> result;
#pragma unroll
  for (int j = 0; j < N; ++j) result.values[j] = Narrow<Out>(op(first + j, Widen(in.values[j])...));
  *reinterpret_cast<Pack<Out, N>*>(out + first) = result;
}

template <int N, typename Op, typename Out, typename... In>
__global__ void __launch_bounds__(kThreads) MapKernel(int64_t n, Op op, Out* out, const In*... in) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * N;
  if (first + N <= n) {
    MapPack<N>(op, first, out, LoadPack<N>(in + first)...);
  } else {
    for (int64_t i = first; i < n; ++i) out[i] = Narrow<Out>(op(i, Widen(in[i])...));
  }
}

template <typename Op, typename Out, typename... In>
void Map(cudaStream_t stream, int64_t n, const Op& op, Out* out, const In*... in) {
  if (n == 0) return;
  constexpr int kPack = PackSize<Out, In...>();
  if (PacksFit<kPack>(out, in...)) {
    MapKernel<kPack><<<BlocksFor(n, kThreads * kPack), kThreads, 0, stream>>>(n, op, out, in...);
  } else {
    MapKernel<1><<<BlocksFor(n, kThreads), kThreads, 0, stream>>>(n, op, out, in...);
  }
  ENCKE_CUDA(cudaGetLastError());
}

// -------------------------------------------------------------------------------------- channels

// A block of kThreads as x (packs of channels) by y (rows), and as many blocks as rows ask for.
struct ChannelGrid {
  ChannelGrid(int64_t rows, int64_t channels, int pack, int64_t most_blocks) {
    const int64_t packs = channels / pack;
    unsigned x = 1;
    while (x < 32 && x < packs) x *= 2;
    threads = dim3(x, kThreads / x);
    const int64_t columns = (packs + x - 1) / x;
    const int64_t wanted = (rows + 4 * threads.y - 1) / (4 * threads.y);  // 4 rows a thread
    const int64_t most = std::clamp<int64_t>(most_blocks / columns, 1, 65535);
    blocks = dim3(static_cast<unsigned>(columns),
                  static_cast<unsigned>(std::clamp<int64_t>(wanted, 1, most)));
  }
  dim3 blocks, threads;
};

// The row that a thread starts with; it goes on by RowStep().
__device__ inline int64_t FirstRow() {
  return static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y;
}
__device__ inline int64_t RowStep() { return static_cast<int64_t>(gridDim.y) * blockDim.y; }
__device__ inline int64_t ChannelPack() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

template <int N, typename Op, typename Out, typename... In>
__device__ inline void ChannelMapPack(const Op& op, const typename Op::Channel* loaded, Out* out,
                                      const Pack<In, N>&... in) {
  Pack<Out, N> result;
#pragma unroll
  for (int j = 0; j < N; ++j) result.values[j] = Narrow<Out>(op(loaded[j], Widen(in.values[j])...));
  *reinterpret_cast<Pack<Out, N>*>(out) = result;
}

template <int N, typename Op, typename Out, typename... In>
__global__ void __launch_bounds__(kThreads)
    ChannelMapKernel(int64_t rows, int64_t channels, Op op, Out* out, const In*... in) {
  const int64_t c = ChannelPack() * N;
  if (c >= channels) return;
  typename Op::Channel loaded[N];
#pragma unroll
  for (int j = 0; j < N; ++j) loaded[j] = op.Load(c + j);
  for (int64_t row = FirstRow(); row < rows; row += RowStep()) {
    const int64_t at = row * channels + c;
    ChannelMapPack<N>(op, loaded, out + at, LoadPack<N>(in + at)...);
  }
}

template <int N, typename Op, typename Out, typename... In>
void LaunchChannelMap(cudaStream_t stream, int64_t rows, int64_t channels, const Op& op, Out* out,
                      const In*... in) {
  const ChannelGrid grid(rows, channels, N, INT32_MAX);
  ChannelMapKernel<N><<<grid.blocks, grid.threads, 0, stream>>>(rows, channels, op, out, in...);
  ENCKE_CUDA(cudaGetLastError());
}

template <typename Op, typename Out, typename... In>
void ChannelMap(cudaStream_t stream, int64_t rows, int64_t channels, const Op& op, Out* out,
                const In*... in) {
  if (rows * channels == 0) return;
  constexpr int kPack = PackSize<Out, In...>();
  if (channels % kPack == 0 && PacksFit<kPack>(out, in...)) {
    LaunchChannelMap<kPack>(stream, rows, channels, op, out, in...);
  } else {
    LaunchChannelMap<1>(stream, rows, channels, op, out, in...);
  }
}

// ------------------------------------------------------------------------------------------ sums

// Blocks that sum rows write their two sums of each channel as partial[block row][sum][channel].
template <int N, typename Terms, typename... In>
__device__ inline void AddTerms(const Terms& terms, const typename Terms::Channel* loaded,
                                double* sums, const Pack<In, N>&... in) {
#pragma unroll
  for (int j = 0; j < N; ++j) terms.Add(loaded[j], Widen(in.values[j])..., sums + j, sums + N + j);
}

// Adds up over the block's y, in a tree; thread (x, 0) has the result.
template <int N>
__device__ inline void SumOverRows(double* sums) {
  __shared__ double shared[kThreads];
  const unsigned width = blockDim.x, at = threadIdx.y * width + threadIdx.x;
#pragma unroll
  for (int j = 0; j < 2 * N; ++j) {
    shared[at] = sums[j];
    __syncthreads();
    for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
      if (threadIdx.y < half) shared[at] += shared[at + half * width];
      __syncthreads();
    }
    sums[j] = shared[at];
    __syncthreads();
  }
}

template <int N, typename Terms, typename... In>
__global__ void __launch_bounds__(kThreads)
    PartialSumsKernel(int64_t rows, int64_t channels, Terms terms, double* partial,
                      const In*... in) {
  const int64_t c = ChannelPack() * N;
  const bool inside = c < channels;
  double sums[2 * N] = {};
  if (inside) {
    typename Terms::Channel loaded[N];
#pragma unroll
    for (int j = 0; j < N; ++j) loaded[j] = terms.Load(c + j);
    for (int64_t row = FirstRow(); row < rows; row += RowStep()) {
      const int64_t at = row * channels + c;
      AddTerms<N>(terms, loaded, sums, LoadPack<N>(in + at)...);
    }
  }
  SumOverRows<N>(sums);
  if (!inside || threadIdx.y > 0) return;
  double* out = partial + static_cast<int64_t>(blockIdx.y) * 2 * channels + c;
  for (int j = 0; j < N; ++j) {
    out[j] = sums[j];
    out[channels + j] = sums[N + j];
  }
}

// The sum of `value` over a warp, in every lane, added up in the same tree each time.
__device__ inline double WarpSum(double value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}

// One warp a channel.
template <typename Finish>
__global__ void __launch_bounds__(kThreads)
    FinishSumsKernel(int64_t parts, int64_t channels, Finish finish, const double* partial) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * (kThreads / 32) + threadIdx.x / 32;
  if (c >= channels) return;
  double first = 0.0, second = 0.0;
  for (int64_t part = threadIdx.x % 32; part < parts; part += 32) {
    first += partial[part * 2 * channels + c];
    second += partial[(part * 2 + 1) * channels + c];
  }
  first = WarpSum(first);
  second = WarpSum(second);
  if (threadIdx.x % 32 == 0) finish(c, first, second);
}

template <int N, typename Terms, typename Finish, typename... In>
void LaunchChannelSums(cudaStream_t stream, int64_t rows, int64_t channels, const Terms& terms,
                       const Finish& finish, double* partial, const In*... in) {
  const ChannelGrid grid(rows, channels, N, kMaxSumBlocks);
  PartialSumsKernel<N>
      <<<grid.blocks, grid.threads, 0, stream>>>(rows, channels, terms, partial, in...);
  ENCKE_CUDA(cudaGetLastError());
  FinishSumsKernel<<<BlocksFor(channels, kThreads / 32), kThreads, 0, stream>>>(
      grid.blocks.y, channels, finish, partial);
  ENCKE_CUDA(cudaGetLastError());
}

// Sums terms over the rows of each channel and hands both sums to finish(c, first, second).
// `partial` has room for PartialSums(channels).
template <typename Terms, typename Finish, typename... In>
void ChannelSums(cudaStream_t stream, int64_t rows, int64_t channels, const Terms& terms,
                 const Finish& finish, double* partial, const In*... in) {
  constexpr int kPack = PackSize<In...>();
  if (channels % kPack == 0 && PacksFit<kPack>(in...)) {
    LaunchChannelSums<kPack>(stream, rows, channels, terms, finish, partial, in...);
  } else {
    LaunchChannelSums<1>(stream, rows, channels, terms, finish, partial, in...);
  }
}

}  // namespace encke::cuda
