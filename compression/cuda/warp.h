// A warp as the codec's kernels see it, and its emulation on the CPU.
//
// Kernels are written in phases. What stands inside of Each(...) is done by every lane for itself,
// with whatever control flow it likes; memory that a lane wrote is seen by the others in the next
// phase. What stands outside is the same for all lanes. What a lane keeps between phases is a
// PerLane; lanes exchange PerLanes by the collective operations. So the same source runs on a GPU,
// where Each is a call and a PerLane a register (compression/cuda/device_warp.cuh), and here, where
// Each is a loop and a PerLane an array.
//
// Sums are taken in a fixed order, the same in both.
#pragma once

#include <array>
#include <cstdint>

namespace encke::cuda {

constexpr int kWarpLanes = 32;
constexpr int kCrewWarps = 4;

class EmulatedWarp {
 public:
  template <typename T>
  using PerLane = std::array<T, kWarpLanes>;

  // `backwards`: lanes take their turns from the last to the first. The results are the same unless
  // a phase reads what another lane writes in it.
  explicit EmulatedWarp(bool backwards = false) : backwards_(backwards) {}

  template <typename Body>
  void Each(const Body& body) {
    for (int i = 0; i < kWarpLanes; ++i) body(backwards_ ? kWarpLanes - 1 - i : i);
  }

  // Each, for a phase that reads and writes no memory that other lanes do.
  template <typename Body>
  void Locally(const Body& body) {
    Each(body);
  }

  // One bit for each lane.
  uint32_t Ballot(const PerLane<bool>& values) {
    uint32_t bits = 0;
    for (int i = 0; i < kWarpLanes; ++i) bits |= static_cast<uint32_t>(values[i]) << i;
    return bits;
  }

  bool All(const PerLane<bool>& values) { return ~Ballot(values) == 0; }

  // Each lane gets the value of the lane that it names (modulo 32).
  template <typename T>
  PerLane<T> Shuffle(const PerLane<T>& values, const PerLane<int>& sources) {
    PerLane<T> result;
    for (int i = 0; i < kWarpLanes; ++i) result[i] = values[sources[i] & (kWarpLanes - 1)];
    return result;
  }
  template <typename T>
  T Broadcast(const PerLane<T>& values, int source) {
    return values[source];
  }

  // Sum of the lanes before this one in its group of kWidth.
  template <int kWidth = kWarpLanes>
  PerLane<uint32_t> SumBefore(const PerLane<uint32_t>& values) {
    PerLane<uint32_t> result;
    for (int i = 0; i < kWarpLanes; ++i) {
      result[i] = i % kWidth == 0 ? 0 : result[i - 1] + values[i - 1];
    }
    return result;
  }
  // Sum of the lane's group of kWidth, by halves.
  template <int kWidth, typename T>
  PerLane<T> SumOfGroup(PerLane<T> values) {
    for (int i = 0; i < kWarpLanes; i += kWidth) {
      for (int distance = kWidth / 2; distance > 0; distance /= 2) {
        for (int k = 0; k < distance; ++k) values[i + k] += values[i + k + distance];
      }
      for (int k = 1; k < kWidth; ++k) values[i + k] = values[i];
    }
    return values;
  }
  // Bits that any lane of the group of kWidth has.
  template <int kWidth>
  PerLane<uint32_t> OrOfGroup(PerLane<uint32_t> values) {
    for (int i = 0; i < kWarpLanes; i += kWidth) {
      for (int k = 1; k < kWidth; ++k) values[i] |= values[i + k];
      for (int k = 1; k < kWidth; ++k) values[i + k] = values[i];
    }
    return values;
  }
  template <typename T>
  T Sum(const PerLane<T>& values) {
    return SumOfGroup<kWarpLanes>(values)[0];
  }

  // Adds to a counter in memory, once for the warp; returns what it was.
  uint64_t FetchAdd(uint64_t* counter, uint64_t value) {
    const uint64_t before = *counter;
    *counter += value;
    return before;
  }

 private:
  bool backwards_;
};

// Warps that work on one chunk together. What stands inside of EachWarp(...) each of them does for
// itself; memory that a warp wrote is seen by the others in the next.
class EmulatedCrew {
 public:
  using Warp = EmulatedWarp;

  explicit EmulatedCrew(bool backwards = false) : warp_(backwards), backwards_(backwards) {}

  // body(warp, which of them)
  template <typename Body>
  void EachWarp(const Body& body) {
    for (int i = 0; i < kCrewWarps; ++i) body(warp_, backwards_ ? kCrewWarps - 1 - i : i);
  }

 private:
  EmulatedWarp warp_;
  bool backwards_;
};

}  // namespace encke::cuda
