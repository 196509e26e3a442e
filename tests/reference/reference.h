// Plain double-precision loops for every primitive with more to it than one expression an element:
// what the backends are tested against. Written for reading, not for speed.
//
// Values are in the order of memory: activations [N,H,W,C], filters [K,R,S,C/groups].
#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/core/shape.h"

namespace encke::reference {

using Values = std::vector<double>;

// `bias` may be empty.
Values ConvForward(const ConvOptions& options, const Shape& x_shape, const Values& x,
                   const Values& w, const Values& bias, const Shape& y_shape);
Values ConvBackwardData(const ConvOptions& options, const Shape& y_shape, const Values& dy,
                        const Values& w, const Shape& x_shape);
Values ConvBackwardFilter(const ConvOptions& options, const Shape& x_shape, const Values& x,
                          const Shape& y_shape, const Values& dy);
// Sum over everything but the channels: the gradient of a bias.
Values SumToChannels(const Shape& shape, const Values& dy);

// The extent of a convolution's output, rounded down.
Shape ConvOutput(const ConvOptions& options, const Shape& x, int64_t output_channels);

// c [rows, columns] = a [rows, inner] b [inner, columns]
Values Matmul(int64_t rows, int64_t inner, int64_t columns, const Values& a, const Values& b);
Values Transpose(int64_t rows, int64_t columns, const Values& a);

struct MaxPooled {
  Values y;
  std::vector<uint8_t> index;
};
MaxPooled MaxPoolForward(const PoolOptions& options, const Shape& x_shape, const Values& x,
                         const Shape& y_shape);
Values MaxPoolBackward(const PoolOptions& options, const Shape& y_shape,
                       const std::vector<uint8_t>& index, const Values& dy, const Shape& x_shape);
Values AveragePoolForward(const PoolOptions& options, const Shape& x_shape, const Values& x,
                          const Shape& y_shape);
Values AveragePoolBackward(const PoolOptions& options, const Shape& y_shape, const Values& dy,
                           const Shape& x_shape);

struct BatchNormed {
  Values y, mean, inv_std, variance;  // variance: unbiased
};
BatchNormed BatchNormForward(double epsilon, const Shape& shape, const Values& x,
                             const Values& gamma, const Values& beta);
struct BatchNormGradients {
  Values dx, dgamma, dbeta;
};
BatchNormGradients BatchNormBackward(const Shape& shape, const Values& x, const Values& gamma,
                                     const Values& mean, const Values& inv_std, const Values& dy);

Values LrnForward(const LrnOptions& options, const Shape& shape, const Values& x);
Values LrnBackward(const LrnOptions& options, const Shape& shape, const Values& x,
                   const Values& dy);

struct Softmaxed {
  Values probabilities, loss;
};
Softmaxed SoftmaxCrossEntropy(const Shape& shape, const Values& logits,
                              const std::vector<int32_t>& labels, double smoothing);
// Of the sum of the losses.
Values SoftmaxCrossEntropyBackward(const Shape& shape, const Values& probabilities,
                                   const std::vector<int32_t>& labels, double smoothing);

}  // namespace encke::reference
