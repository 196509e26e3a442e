// libFuzzer target: no bytes may make a decoder crash, over-read or allocate without limit.
// The first bytes of an input choose codec, dtype, mode and shape; the rest is the stream, or the
// elements of one that is encoded first and then damaged in one place, which a checksum must tell.
// Build and run with tests/fuzz/run.sh.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "compression/codec.h"
#include "compression/dense_codec.h"
#include "compression/fast_codec.h"
#include "compression/simd/dispatch.h"
#include "compression/value_coding.h"
#include "engine/core/error.h"

namespace encke {
namespace {

constexpr size_t kHead = 5;

// Some smooth, sparse data for the tables that are learnt from a sample.
std::vector<float> SampleData(int64_t elements) {
  std::vector<float> data(elements);
  for (int64_t i = 0; i < elements; ++i) {
    data[i] = static_cast<float>((i * 2654435761u >> 7) % 23) * 0.01f - 0.1f;
  }
  return data;
}

void SetActivity(int64_t channels, CodecOptions* options) {
  options->mask = false;
  for (int64_t c = 0; c < channels; ++c) {
    options->activity.threshold.push_back(0.01f * static_cast<float>(c));
    options->activity.sign.push_back(static_cast<int8_t>(c % 3 - 1));
    options->activity.inactive_bound.push_back(0.04f);
  }
}

const Codec* ChooseCodec(uint8_t choice, std::unique_ptr<Codec>* owner) {
  const std::vector<std::string> names = CodecNames();
  const std::vector<const simd::Kernels*> kernels = simd::UsableKernels();
  const simd::Kernels& some = *kernels[choice / 16 % kernels.size()];
  const std::string& name = names[choice % 16 % names.size()];
  if (name == "fast") *owner = std::make_unique<FastCodec>(some);
  if (name == "dense") *owner = std::make_unique<DenseCodec>(some);
  return *owner ? owner->get() : FindCodec(name);
}

// The stream that `codec` makes of elements that repeat `bytes`, with one byte changed.
std::vector<uint8_t> DamagedStream(const Codec& codec, const uint8_t* bytes, size_t size,
                                   DType dtype, const Shape& shape, const ValueCoding& coding) {
  std::vector<uint8_t> elements(shape.elements() * SizeOf(dtype));
  for (size_t i = 0; i < elements.size() && size > 0; ++i) elements[i] = bytes[i % size];
  std::vector<uint8_t> stream(codec.MaxEncodedSize(shape, dtype));
  EncodeStatistics statistics;
  stream.resize(codec.Encode(elements.data(), dtype, shape, coding, stream.data(), &statistics));
  if (size > 3) {
    stream[(bytes[0] | bytes[1] << 8) % stream.size()] ^= std::max<uint8_t>(bytes[2], 1);
  }
  return stream;
}

}  // namespace
}  // namespace encke

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  using namespace encke;
  if (size < kHead) return 0;
  std::unique_ptr<Codec> owner;
  const Codec& codec = *ChooseCodec(input[0], &owner);
  const DType dtype = (input[1] & 1) != 0 ? DType::BF16 : DType::F32;
  const Shape shape{1 + (input[1] >> 6), input[2] % 8, 1 + input[3] % 16, 1 + input[4] % 130};
  CodecOptions options;
  options.mask = (input[1] & 2) != 0;
  options.bound = ErrorBound::Uniform((input[1] & 4) != 0 ? 0.02f : 0.0005f);
  if ((input[1] & 8) != 0) options.bound.channel.assign(shape.c, 0.01f);
  options.checksum = (input[1] & 32) != 0;
  if ((input[2] & 64) != 0) SetActivity(shape.c, &options);
  ValueCoding coding(options, dtype, shape.c);
  const std::vector<float> data = SampleData(shape.elements());
  codec.Prepare({{data.data(), shape}}, DType::F32, &coding);
  const uint8_t* rest = input + kHead;
  std::vector<uint8_t> bytes(rest, rest + (size - kHead));
  const bool damaged = (input[1] & 16) != 0 && size > kHead + 3;
  if (damaged) {
    bytes = DamagedStream(codec, rest, size - kHead, dtype, shape, coding);
  }
  // An exact copy on the heap, so that the sanitizer sees the slightest over-read.
  const std::unique_ptr<uint8_t[]> stream(new uint8_t[bytes.size()]);
  std::copy(bytes.begin(), bytes.end(), stream.get());
  // Several at a time take other ways than one.
  const int together = 1 + input[3] / 16 % 9;
  std::vector<std::vector<uint8_t>> decoded(together);
  std::vector<DecodeRequest> requests;
  for (std::vector<uint8_t>& elements : decoded) {
    elements.resize(shape.elements() * SizeOf(dtype));
    requests.push_back({stream.get(), static_cast<int64_t>(bytes.size()), shape, elements.data()});
  }
  try {
    codec.Decode(dtype, coding, requests.data(), together);
    // One changed byte never passes a checksum.
    if (damaged && options.checksum) std::abort();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::CORRUPTION) throw;
  }
  return 0;
}
