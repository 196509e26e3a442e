#include "engine/config/layer_options.h"

#include <cmath>

#include "engine/config/merge.h"
#include "engine/core/error.h"

namespace encke {
namespace {

using Numbers = google::protobuf::RepeatedField<google::protobuf::int32>;

// One number stands for height and width, two for each, none for `fallback`.
std::pair<int64_t, int64_t> Pair(const Numbers& numbers, const char* field, int64_t fallback,
                                 int64_t least) {
  if (numbers.empty()) return {fallback, fallback};
  if (numbers.size() > 2) {
    throw OptionMistake{field, StrCat("'", field, "' takes one number, or height and width"), ""};
  }
  for (int64_t number : numbers) {
    if (number >= least) continue;
    throw OptionMistake{field, StrCat("'", field, "' must be at least ", least, ", not ", number),
                        ""};
  }
  return {numbers.Get(0), numbers.Get(numbers.size() - 1)};
}

Initializer WeightInit(const config::Initializer& init) {
  using Kind = Initializer::Kind;
  const float pytorch_slope = std::sqrt(5.0f);
  switch (init.kind()) {
    case config::Initializer::KAIMING_NORMAL_FAN_OUT:
      return {Kind::KAIMING_NORMAL_FAN_OUT, 0.0f};
    case config::Initializer::KAIMING_NORMAL_FAN_IN:
      return {Kind::KAIMING_NORMAL_FAN_IN, 0.0f};
    case config::Initializer::KAIMING_UNIFORM_FAN_IN:
      return {Kind::KAIMING_UNIFORM_FAN_IN, pytorch_slope};
    case config::Initializer::XAVIER_UNIFORM:
      return {Kind::XAVIER_UNIFORM, 0.0f};
    case config::Initializer::GAUSSIAN:
      return {Kind::GAUSSIAN, init.std()};
    case config::Initializer::CONSTANT:
      return {Kind::CONSTANT, init.value()};
  }
  return {};
}

Initializer BiasInit(const config::Initializer& init) {
  if (init.has_bias()) return {Initializer::Kind::CONSTANT, init.bias()};
  const bool uniform = init.kind() == config::Initializer::KAIMING_UNIFORM_FAN_IN;
  return uniform ? WeightInit(init) : Initializer{};
}

int64_t OutChannels(const config::Conv& conv, const BlockScope& scope) {
  if (conv.has_out() && conv.has_width()) {
    throw OptionMistake{"width", "'width' does not go together with 'out': one of them only", ""};
  }
  if (conv.has_width() && !scope.inside) {
    throw OptionMistake{"width", "'width' means nothing outside a block",
                        "say the number of channels: out: ..."};
  }
  if (!conv.has_out() && !conv.has_width()) {
    const char* hint = scope.inside ? "give out: ... or width: ..." : "give out: ...";
    throw OptionMistake{"out", "the convolution does not say its output channels", hint};
  }
  const int64_t out = conv.has_out() ? conv.out() : std::llround(conv.width() * scope.width);
  if (out >= 1) return out;
  throw OptionMistake{conv.has_out() ? "out" : "width",
                      StrCat("a convolution cannot have ", out, " output channels"), ""};
}

void SetPadding(const config::Conv& conv, ConvOptions* window) {
  std::pair<int64_t, int64_t> pad = Pair(conv.pad(), "pad", 0, 0);
  if (conv.pad().empty() && conv.padding() == config::SAME) {
    pad = {(window->kernel_h - 1) / 2 * window->dilation_h,
           (window->kernel_w - 1) / 2 * window->dilation_w};
  }
  window->pad_top = window->pad_bottom = pad.first;
  window->pad_left = window->pad_right = pad.second;
}

ConvOptions WindowOf(const config::Conv& conv, const BlockScope& scope) {
  ConvOptions window;
  if (conv.kernel().empty()) {
    throw OptionMistake{"kernel", "the convolution does not say its kernel", "give kernel: ..."};
  }
  std::tie(window.kernel_h, window.kernel_w) = Pair(conv.kernel(), "kernel", 1, 1);
  std::tie(window.stride_h, window.stride_w) = Pair(conv.stride(), "stride", 1, 1);
  std::tie(window.dilation_h, window.dilation_w) = Pair(conv.dilation(), "dilation", 1, 1);
  if (conv.block_stride()) {
    if (!scope.inside) {
      throw OptionMistake{"block_stride", "'block_stride' means nothing outside a block",
                          "say the stride: stride: ..."};
    }
    window.stride_h = window.stride_w = scope.stride;
  }
  window.groups = conv.groups();
  if (window.groups < 1) throw OptionMistake{"groups", "'groups' must be at least 1", ""};
  SetPadding(conv, &window);
  return window;
}

PoolOptions WindowOf(const config::Pool& pool) {
  if (pool.kernel().empty()) {
    throw OptionMistake{"kernel", "the pooling does not say its kernel", "give kernel: ..."};
  }
  PoolOptions window;
  std::tie(window.kernel_h, window.kernel_w) = Pair(pool.kernel(), "kernel", 1, 1);
  std::tie(window.stride_h, window.stride_w) = Pair(pool.stride(), "stride", 0, 1);
  if (pool.stride().empty()) {
    window.stride_h = window.kernel_h;
    window.stride_w = window.kernel_w;
  }
  std::tie(window.pad_top, window.pad_left) = Pair(pool.pad(), "pad", 0, 0);
  window.count_include_pad = pool.count_include_pad();
  return window;
}

}  // namespace

ConvolutionOptions ConvolutionOptionsOf(const config::Conv& conv, const config::Network& network,
                                        const BlockScope& scope) {
  ConvolutionOptions options;
  options.out_channels = OutChannels(conv, scope);
  options.window = WindowOf(conv, scope);
  options.bias = conv.has_bias() ? conv.bias() : !conv.bn();
  const config::Initializer& init = conv.has_init() ? conv.init() : network.conv_init();
  options.weight_init = WeightInit(init);
  options.bias_init = BiasInit(init);
  return options;
}

FullyConnectedOptions FullyConnectedOptionsOf(const config::FullyConnected& fc,
                                              const config::Network& network) {
  FullyConnectedOptions options;
  options.out_features = fc.has_out() ? fc.out() : network.classes();
  if (options.out_features < 1) {
    throw OptionMistake{"out", "the fully connected layer does not say its outputs",
                        "give out: ... here, or network.classes"};
  }
  options.bias = fc.bias();
  if (fc.has_init() || network.has_fc_init()) {
    const config::Initializer& init = fc.has_init() ? fc.init() : network.fc_init();
    options.weight_init = WeightInit(init);
    options.bias_init = BiasInit(init);
  }
  return options;
}

BatchNormOptions BatchNormOptionsOf(const config::BatchNorm& step, const config::Network& network) {
  config::BatchNorm merged = network.batch_norm();
  MergeMessage(step, &merged);
  if (!(merged.epsilon() > 0)) throw OptionMistake{"epsilon", "'epsilon' must be above 0", ""};
  if (!(merged.momentum() >= 0 && merged.momentum() <= 1)) {
    throw OptionMistake{"momentum", "'momentum' must lie between 0 and 1", ""};
  }
  return {merged.epsilon(), merged.momentum()};
}

MaxPoolOptions MaxPoolOptionsOf(const config::Pool& pool) {
  if (!pool.output().empty()) {
    throw OptionMistake{"output", "'output' goes with kind: AVERAGE only", ""};
  }
  return {WindowOf(pool), pool.ceil_mode()};
}

AveragePoolOptions AveragePoolOptionsOf(const config::Pool& pool) {
  AveragePoolOptions options;
  if (pool.kind() == config::Pool::GLOBAL_AVERAGE) {
    options.output_h = options.output_w = 1;
  } else if (!pool.output().empty()) {
    std::tie(options.output_h, options.output_w) = Pair(pool.output(), "output", 0, 1);
  } else {
    options.window = WindowOf(pool);
    options.ceil_mode = pool.ceil_mode();
  }
  return options;
}

DropoutOptions DropoutOptionsOf(const config::Dropout& dropout) {
  if (!(dropout.p() >= 0 && dropout.p() < 1)) {
    throw OptionMistake{"p", "'p', the part set to zero, must lie in [0, 1)", ""};
  }
  DropoutOptions options;
  options.p = dropout.p();
  return options;
}

LrnOptions LrnOptionsOf(const config::Lrn& lrn) {
  if (lrn.size() < 1) throw OptionMistake{"size", "'size' must be at least 1", ""};
  LrnOptions options;
  options.size = lrn.size();
  options.alpha = lrn.alpha();
  options.beta = lrn.beta();
  options.k = lrn.k();
  return options;
}

}  // namespace encke
