// The networks of make_golden.py, built from layers under the same names.
#pragma once

#include "engine/graph/graph.h"

namespace encke {

Graph AlexNetLike();
Graph VggLike();
Graph ResNetLike();
Graph InceptionLike();

}  // namespace encke
