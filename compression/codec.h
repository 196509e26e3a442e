// A codec turns one chunk of a tensor (whole samples, or rows of one sample) into bytes and back.
//
// Contract of every codec that is bounded(), for every input, NaN, Inf, -0.0 and denormals
// included:
//   |decode(encode(x))[i] - x[i]| <= bound of i's channel, exactly; an element for which that
//   cannot be had otherwise (NaN and Inf among them) comes back bit for bit. A bound of 0 is
//   lossless. With `mask`: decode > 0 exactly where x > 0, and where x <= 0 the decoded element is
//   0 (bound permitting; -0.0 and negative values are otherwise escapes). With `activity`: an
//   element is active exactly where its decoded value is, and `bound` holds for active ones,
//   `inactive_bound` for the others.
// Rivals that are not bounded() promise the mask only, and nothing for values that are not finite.
// Same input, same bytes, on every machine and thread. Codecs are stateless and thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "compression/quantizer_tables.h"
#include "engine/core/dtype.h"
#include "engine/core/shape.h"

namespace encke {

// Largest absolute error that an element may have after decoding. REQUIRES: finite, >= 0.
struct ErrorBound {
  float uniform = 0.0f;
  std::vector<float> channel;  // one for each channel, in place of `uniform`, when not empty

  static ErrorBound Uniform(float bound) { return {bound, {}}; }
  static ErrorBound PerChannel(std::vector<float> bounds) { return {0.0f, std::move(bounds)}; }
};

// For the input of a batch norm with a ReLU behind it: which side of its channel's threshold an
// element is on survives exactly; what is not active needs less precision. Every vector has one
// entry a channel, or all are empty: off.
struct Activity {
  std::vector<float> threshold;  // REQUIRES: finite
  // 1: active means x > threshold, -1: x < threshold. 0: the channel has no sides (the ReLU's input
  // does not depend on x); all its elements keep `inactive_bound`.
  std::vector<int8_t> sign;
  // Inactive elements keep this bound, in place of CodecOptions::bound, and come back as the mean
  // of their cell, which is as wide as the bound. REQUIRES: finite, >= 0.
  std::vector<float> inactive_bound;
  // How far that mean lies from its cell's middle, in 256ths of its width and away from the
  // threshold, for the kCentroids cells next to the threshold: [channel][cell]. Cells further away,
  // and all if this is empty, come back as their middle. (The ENCKE pool finds them itself.)
  std::vector<int8_t> centroid;

  bool empty() const { return threshold.empty(); }
  bool Active(float x, int64_t channel) const {
    return sign[channel] < 0 ? x < threshold[channel] : x > threshold[channel];
  }
};

struct CodecOptions {
  ErrorBound bound;
  bool mask = false;  // the sign survives exactly (ReLU outputs)
  // What each channel's elements lie around, e.g. its mean: codes count from there, which makes
  // them smaller. Not for `mask`. Empty: 0 (the ENCKE pool finds them itself where bounds differ
  // by channel).
  std::vector<float> channel_center;
  // Every chunk ends with a checksum, and decoding demands it: for chunks that leave the memory of
  // the process. Costs kChecksumBytes a chunk.
  bool checksum = false;
  // What codecs that round at random draw from, besides the data.
  uint64_t seed = 0;
  Activity activity;  // not with `mask` or `channel_center`

  // The bound that an element x of this channel keeps.
  float BoundOf(float x, int64_t channel) const;
};

// What an encoder learns in passing.
struct EncodeStatistics {
  int64_t elements = 0;
  int64_t nonzero = 0;  // elements that are not 0, or active ones (the R of the variance rule)
  int64_t escapes = 0;  // elements kept bit for bit because quantising would break the bound
  double sum_of_squares = 0;  // of finite elements

  void Add(const EncodeStatistics& other);
};

struct ValueCoding;  // compression/value_coding.h

// A piece of a value in memory.
struct ChunkView {
  const void* data;
  Shape shape;
};

// A chunk to be encoded, and what came of it.
struct EncodeRequest {
  const void* data;  // NHWC, F32 or BF16
  Shape shape;
  uint8_t* out;      // MaxEncodedSize bytes are there
  int64_t size = 0;  // result: of the stream
  EncodeStatistics statistics;
};

struct DecodeRequest {
  const uint8_t* stream;
  int64_t size;
  Shape shape;
  void* data;  // elements() of these
};

// Requests of which more at a time would be no faster, with any codec.
constexpr int kEncodedTogether = 4, kDecodedTogether = 8;

class Codec {
 public:
  virtual ~Codec() = default;
  virtual std::string name() const = 0;  // "raw", "fast", ...
  // Whether errors stay within the bound.
  virtual bool bounded() const { return true; }
  // Requests of which more at a time would be no faster to encode; each has memory of its own.
  virtual int encoded_together() const { return 2; }

  // Learns from some chunks of a value what all of its chunks will share besides the quantiser
  // (code tables), and keeps it in `coding`.
  virtual void Prepare(const std::vector<ChunkView>& sample, DType dtype,
                       ValueCoding* coding) const;
  // Whether Encode and Decode can work with these ValueCoding::tables in this mode, whoever has
  // made them.
  virtual bool KnowsTables(const std::vector<uint8_t>& tables, QuantizerMode /*mode*/) const {
    return tables.empty();
  }
  // Upper limit for the bytes of one chunk of this shape, with or without a checksum.
  int64_t MaxEncodedSize(const Shape& chunk, DType dtype) const;
  // Writes each stream to its `out`. `coding` holds the bounds and the mode and went through
  // Prepare; it is made once for a value and shared by all of its chunks. Several at a time are
  // faster than one after the other: what the coding says is worked out once, and some codecs have
  // more to do at a time. The bytes are the same.
  void Encode(DType dtype, const ValueCoding& coding, EncodeRequest* requests, int count) const;
  int64_t Encode(const void* data, DType dtype, const Shape& chunk, const ValueCoding& coding,
                 uint8_t* out, EncodeStatistics* statistics) const;
  // Writes each chunk's elements. REQUIRES: the encoder's `coding`. Bytes that no encoder wrote
  // give Error(CORRUPTION), without saying of which chunk, never a read or write out of bounds.
  // With a checksum every byte is verified before anything is decoded; without, a changed byte may
  // go unnoticed.
  void Decode(DType dtype, const ValueCoding& coding, const DecodeRequest* requests,
              int count) const;
  void Decode(const uint8_t* stream, int64_t size, DType dtype, const Shape& chunk,
              const ValueCoding& coding, void* data) const;

 protected:
  // The same of the streams without a checksum; DecodeStream may meet its flag in the head. Those
  // of several chunks call those of one, where a codec does not do better.
  virtual int64_t MaxStreamSize(const Shape& chunk, DType dtype) const = 0;
  virtual void EncodeStreams(DType dtype, const ValueCoding& coding, EncodeRequest* requests,
                             int count) const;
  virtual void DecodeStreams(DType dtype, const ValueCoding& coding, const DecodeRequest* requests,
                             int count) const;
  virtual int64_t EncodeStream(const void* data, DType dtype, const Shape& chunk,
                               const ValueCoding& coding, uint8_t* out,
                               EncodeStatistics* statistics) const = 0;
  virtual void DecodeStream(const uint8_t* stream, int64_t size, DType dtype, const Shape& chunk,
                            const ValueCoding& coding, void* data) const = 0;
};

// The codecs by name; nullptr for a name that is not among CodecNames().
const Codec* FindCodec(const std::string& name);
std::vector<std::string> CodecNames();
// `name` where that codec is lossless at a bound of 0, otherwise the name of one that is.
std::string CodecForExact(const std::string& name);

}  // namespace encke
