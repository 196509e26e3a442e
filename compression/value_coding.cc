#include "compression/value_coding.h"

#include <utility>

#include "engine/core/error.h"

namespace encke {
namespace {

CodecOptions WithLearnt(CodecOptions options, const LearntCoding& learnt) {
  options.channel_center = learnt.centers;
  if (!options.activity.empty()) options.activity.centroid = learnt.centroid;
  return options;
}

}  // namespace

ValueCoding::ValueCoding(const CodecOptions& options, const LearntCoding& learnt, DType dtype,
                         int64_t channels)
    : ValueCoding(WithLearnt(options, learnt), dtype, channels) {
  ENCKE_CHECK(quantizer.mode() == learnt.mode, "learnt under other options");
  tables = learnt.tables;
}

LearntCoding ValueCoding::Learnt() const {
  return {quantizer.mode(), quantizer.Centers(), quantizer.activity().centroid, tables};
}

}  // namespace encke
