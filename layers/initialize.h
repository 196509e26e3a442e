// Initial values of parameters, by the definitions of PyTorch's torch.nn.init.
#pragma once

#include <cstdint>
#include <string>

#include "layers/layer.h"

namespace encke {

// Fills `values`, of spec.shape.elements() floats in host memory: a pure function of the seed, the
// parameter's full name ("layer1.0.conv1.weight") and the spec.
//
//   CONSTANT                all `value`
//   GAUSSIAN                normal, standard deviation `value`
//   XAVIER_UNIFORM          uniform within sqrt(6 / (fan_in + fan_out))        (Glorot, Bengio
//   2010) KAIMING_NORMAL_FAN_x    normal, standard deviation sqrt(2 / fan_x)         (He et al.
//   2015) KAIMING_UNIFORM_FAN_IN  uniform within sqrt(6 / ((1 + value^2) * fan_in))
void InitializeParameter(const ParameterSpec& spec, const std::string& name, uint64_t seed,
                         float* values);

}  // namespace encke
