// One codec on one saved value: size, speed, and what became of every element.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/encke/codec_input.h"

namespace encke::cli {

// How decoded elements differ from the originals.
struct CodecErrors {
  double greatest = 0;          // |difference| over the element's bound, finite elements
  double root_mean_square = 0;  // of the same
  int64_t over_bound = 0;       // finite elements that came back outside of the bound
  int64_t mask_changed = 0;     // in a value with a mask or an activity: elements on the other side
  int64_t special_changed = 0;  // NaN and infinities that did not come back bit for bit

  // Elements for which the contract of compression/codec.h was broken.
  int64_t violations() const { return over_bound + mask_changed + special_changed; }
  // A difference of 0 counts as 0 of any bound, any other as infinitely many bounds of 0.
  static CodecErrors Of(const CodecInput& input, const float* decoded);
};

// Seconds for a whole value, through the pool: the copies into and out of its slabs included.
struct CodecTimes {
  double encode = 0;  // with centers and tables that an earlier iteration has learnt
  double decode = 0;
  double learn_and_encode = 0;  // with what is learnt from a sample
};

struct CodecMeasurement {
  std::string layer, kind, codec;
  Shape shape;
  bool bounded = true;  // whether the codec promises the bound
  int64_t raw_bytes = 0;
  int64_t stored_bytes = 0;  // with all tables and headers
  CodecErrors errors;
  CodecTimes one_thread;  // on a GPU: all of it
  std::optional<CodecTimes> all_threads;
  // Bytes of an ideal coder that knows the distributions of the codes under nine contexts: the
  // classes (0, 1, more) of the left and the upper neighbour.
  double entropy_bytes = 0;

  double ratio() const {
    return static_cast<double>(raw_bytes) / static_cast<double>(stored_bytes);
  }
};

struct MeasureOptions {
  int threads = 0;  // what `all_threads` means; 0 = one for each core
  int repeats = 5;  // the fastest counts
};

// REQUIRES: FindCodec knows every name. The results are in the order of `codecs`.
std::vector<CodecMeasurement> MeasureCodecs(const CodecInput& input,
                                            const std::vector<std::string>& codecs,
                                            const MeasureOptions& options);

double SecondsSince(std::chrono::steady_clock::time_point start);

// What is known of the value itself, for one codec; nothing is measured.
CodecMeasurement NotYetMeasured(const CodecInput& input, const std::string& codec);

// See CodecMeasurement::entropy_bytes. Elements that are not finite do not count.
double ContextEntropyBytes(const CodecInput& input);

}  // namespace encke::cli
