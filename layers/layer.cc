#include "layers/layer.h"

namespace encke {

int64_t Layer::WorkspaceBytes(Backend&, DType, Pass) const { return 0; }

GradientFlow Layer::Flow(int) const { return GradientFlow::COMPUTED; }

}  // namespace encke
