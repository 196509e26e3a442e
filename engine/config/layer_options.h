// Steps of a config -> options of the layers they stand for.
#pragma once

#include <string>
#include <utility>

#include "layers/average_pool.h"
#include "layers/batch_norm.h"
#include "layers/convolution.h"
#include "layers/dropout.h"
#include "layers/fully_connected.h"
#include "layers/lrn.h"
#include "layers/max_pool.h"
#include "models/encke.pb.h"

namespace encke {

// What is wrong with a field of a step; `field` is relative to the step's message ("kernel").
struct OptionMistake {
  std::string field;
  std::string message;
  std::string hint;
};

// What a block's `use` says, for the steps inside.
struct BlockScope {
  bool inside = false;
  int64_t width = 1;   // what `width:` is multiplied with
  int64_t stride = 1;  // for steps with `block_stride`
};

// Each throws OptionMistake. `network` holds the defaults.
ConvolutionOptions ConvolutionOptionsOf(const config::Conv& conv, const config::Network& network,
                                        const BlockScope& scope);
FullyConnectedOptions FullyConnectedOptionsOf(const config::FullyConnected& fc,
                                              const config::Network& network);
BatchNormOptions BatchNormOptionsOf(const config::BatchNorm& step, const config::Network& network);
MaxPoolOptions MaxPoolOptionsOf(const config::Pool& pool);
AveragePoolOptions AveragePoolOptionsOf(const config::Pool& pool);
DropoutOptions DropoutOptionsOf(const config::Dropout& dropout);
LrnOptions LrnOptionsOf(const config::Lrn& lrn);

}  // namespace encke
