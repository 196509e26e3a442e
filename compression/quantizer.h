// Turns elements into small integer codes and back, inside the error bound.
//
// Without a mask:  k = round(x / step) - center,  x' = (k + center) * step,  code = zigzag(k).
// With a mask:     code 0 is "inactive" and decodes to 0; code k >= 1 is the cell
//                  ((k - 1) * step, k * step] and decodes to its middle, so that the sign survives.
// With activity:   u = direction * (x - threshold), code = zigzag(k), where k >= 1 is the cell
//                  ((k - 1) * step, k * step] of u and decodes to its middle, and k = -m <= 0 the
//                  cell (-(m + 1) * width, -m * width] and decodes to its centroid, if it has one.
// step = 2 * bound * (1 - room), width = inactive_bound * (1 - room), room = 2^-12 for F32 and 2^-5
// for BF16: what is missing pays for the rounding of the reconstruction, so that hardly any element
// fails the check |x - x'| < bound. Those that do, and those whose code is 2^16 or more, are
// escapes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compression/codec.h"
#include "compression/quantizer_tables.h"

namespace encke {

// How values are quantised that are kept under these options.
QuantizerMode ModeOf(const CodecOptions& options);

// 1 - room, by which cells of such elements are narrower than their bound would allow.
double CellShare(DType dtype);

// Owns what QuantizerTables points to. Movable, not copyable.
class ExpandedQuantizer {
 public:
  ExpandedQuantizer(ExpandedQuantizer&&) = default;
  ExpandedQuantizer(const ExpandedQuantizer&) = delete;

  const QuantizerTables& tables() const { return tables_; }

 private:
  friend class Quantizer;
  // Room for so many tables.
  ExpandedQuantizer(int64_t period, int64_t tables);

  // One more table, whose entry for channel c is of(c).
  template <typename T, typename Of>
  const T* Add(const Of& of);

  int64_t stride_;  // bytes from table to table, which start cache lines
  std::unique_ptr<unsigned char[]> memory_;
  unsigned char* next_;
  QuantizerTables tables_ = {};
};

// Immutable, thread-safe. Small: the inner loops' tables are made from it for each chunk.
class Quantizer {
 public:
  // Bounds below 2^-120 are taken as 0 (lossless), those above 2^120 as 2^120.
  // REQUIRES: elements are `dtype`, F32 or BF16; the options' vectors are empty or have `channels`
  // entries, bounds finite and >= 0, thresholds finite; the activity without mask and centers.
  Quantizer(const CodecOptions& options, DType dtype, int64_t channels);

  QuantizerMode mode() const { return mode_; }
  bool mask() const { return mode_ == QuantizerMode::MASK; }
  bool lossless() const { return lossless_; }                  // all bounds are 0
  const std::vector<float>& bounds() const { return bound_; }  // one, or one a channel
  const Activity& activity() const { return activity_; }
  // CodecOptions::channel_center, as the codes have it.
  std::vector<float> Centers() const;
  ExpandedQuantizer Expand() const;
  int64_t bytes() const;  // of memory held

 private:
  float BoundOf(int64_t channel) const;  // of active elements
  float StepOf(float bound) const;
  float WidthOf(int64_t channel) const;  // of inactive cells
  int32_t CentroidsOf(int64_t channel) const;
  void ExpandActivity(ExpandedQuantizer* expanded) const;

  QuantizerMode mode_;
  double cell_share_;  // CellShare
  bool lossless_ = true;
  int64_t period_;
  std::vector<float> bound_;     // one, or one a channel
  std::vector<int32_t> center_;  // one a channel, or none, which is 0
  Activity activity_;
};

}  // namespace encke
