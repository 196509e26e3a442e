// What `encke bench codec` measures on: values that training saved, from a dump, or made-up ones.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compression/codec.h"
#include "engine/core/shape.h"

namespace encke::cli {

// A saved value as float32 in NHWC, with the bounds under which training kept it.
struct CodecInput {
  std::string layer;
  Shape shape;
  std::vector<float> data;
  CodecOptions options;

  int64_t bytes() const { return static_cast<int64_t>(data.size() * sizeof(float)); }
};

// "relu" for values that carry a mask, "split" for those with an activity, "norm" for those with a
// bound for each channel (what a batch norm reads), else "other".
std::string KindOf(const CodecInput& input);

// A value that is made or read when it is needed, since a dump may be larger than the memory.
using CodecInputSource = std::function<CodecInput()>;

// The values in a folder that `encke train --dump-activations` wrote, in the network's order.
// Error(DATA) when there are none; a source throws it when its files are broken or do not fit
// together.
std::vector<CodecInputSource> DumpedInputs(const std::string& folder);

// Made-up values of the kinds that training meets, the same in every run: outputs of a ReLU, inputs
// of a batch norm with one bound and with two, smooth maps, random bits (NaN and infinities among
// them), and a tiny one.
std::vector<CodecInputSource> SampleInputs();

}  // namespace encke::cli
