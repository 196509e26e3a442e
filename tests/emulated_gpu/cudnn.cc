// cuDNN for the emulated GPU: the part of its graph interface that convolutions use. What is
// computed is read from the descriptors, in plain loops.
//
// Three engines are proposed, the first of which does not repeat itself and the last of which needs
// a workspace.
#include <cudnn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "engine/core/dtype.h"
#include "tests/emulated_gpu/emulated_gpu.h"

struct cudnnContext {
  cudaStream_t stream = nullptr;
};

namespace {

using encke::bfloat16;

constexpr int64_t kEngines = 3;
constexpr int64_t kWorkspaceBytes = 4096;

// Not a status, which would send the convolution to the plain loops that serve where cuDNN has
// none.
[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "emulated cuDNN: a convolution's descriptors are wrong: %s\n", what);
  std::abort();
}

// What a descriptor says; shared by those that refer to it.
struct Contents {
  cudnnBackendDescriptorType_t type;
  std::map<cudnnBackendAttributeName_t, std::vector<char>> values;
  std::map<cudnnBackendAttributeName_t, std::shared_ptr<Contents>> parts;
  int64_t engine = 0;
  bool final = false;

  template <typename T>
  T Get(cudnnBackendAttributeName_t name, size_t i = 0) const {
    T value;
    std::memcpy(&value, values.at(name).data() + i * sizeof(T), sizeof(T));
    return value;
  }
  const Contents& Part(cudnnBackendAttributeName_t name) const { return *parts.at(name); }
};

using Handle = std::shared_ptr<Contents>;
Handle& Of(cudnnBackendDescriptor_t descriptor) { return *static_cast<Handle*>(descriptor); }

size_t SizeOfAttribute(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_INT64:
      return sizeof(int64_t);
    case CUDNN_TYPE_FLOAT:
      return sizeof(float);
    case CUDNN_TYPE_CHAR:
      return 1;
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
      return sizeof(void*);
    default:
      return sizeof(int);  // enumerations
  }
}

struct TensorView {
  explicit TensorView(const Contents& tensor)
      : id(tensor.Get<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID)),
        alignment(tensor.Get<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT)),
        type(tensor.Get<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE)) {
    for (int i = 0; i < 4; ++i) {
      extent[i] = tensor.Get<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, i);
      stride[i] = tensor.Get<int64_t>(CUDNN_ATTR_TENSOR_STRIDES, i);
    }
  }

  int64_t At(int64_t n, int64_t c, int64_t h, int64_t w) const {
    return n * stride[0] + c * stride[1] + h * stride[2] + w * stride[3];
  }
  double Load(int64_t n, int64_t c, int64_t h, int64_t w) const {
    const int64_t i = At(n, c, h, w);
    if (type == CUDNN_DATA_FLOAT) return static_cast<const float*>(data)[i];
    return static_cast<float>(static_cast<const bfloat16*>(data)[i]);
  }
  void Store(int64_t n, int64_t c, int64_t h, int64_t w, double value) const {
    const int64_t i = At(n, c, h, w);
    if (type == CUDNN_DATA_FLOAT) {
      static_cast<float*>(data)[i] = static_cast<float>(value);
    } else {
      static_cast<bfloat16*>(data)[i] = bfloat16(static_cast<float>(value));
    }
  }

  int64_t id, alignment;
  cudnnDataType_t type;
  int64_t extent[4], stride[4];  // n, c, h, w
  void* data = nullptr;
};

struct Convolution {
  explicit Convolution(const Contents& descriptor) {
    if (descriptor.Get<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) !=
        CUDNN_CROSS_CORRELATION) {
      Fail("the mode");
    }
    for (int i = 0; i < 2; ++i) {
      stride[i] = descriptor.Get<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, i);
      dilation[i] = descriptor.Get<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS, i);
      pad[i] = descriptor.Get<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, i);
      pad_behind[i] = descriptor.Get<int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, i);
    }
  }

  // Where the filter's element r of dimension i meets the image for output o.
  int64_t Meets(int i, int64_t o, int64_t r) const {
    return o * stride[i] - pad[i] + r * dilation[i];
  }
  static int64_t Groups(const TensorView& x, const TensorView& w) {
    return x.extent[1] / w.extent[1];
  }
  // Whether the output is as large as the convolution makes it.
  bool Fits(const TensorView& x, const TensorView& w, const TensorView& y) const {
    bool fits = x.extent[1] % w.extent[1] == 0 && w.extent[0] % Groups(x, w) == 0 &&
                y.extent[1] == w.extent[0];
    for (int i = 0; i < 2; ++i) {
      const int64_t reach = (w.extent[2 + i] - 1) * dilation[i] + 1;
      const int64_t room = x.extent[2 + i] + pad[i] + pad_behind[i] - reach;
      fits = fits && room >= 0 && y.extent[2 + i] == room / stride[i] + 1;
    }
    return fits && x.extent[0] == y.extent[0];
  }

  int64_t stride[2], dilation[2], pad[2], pad_behind[2];
};

// Calls f(h, r, w, s) for all pixels of the image under the filter at output (p, q).
template <typename F>
void UnderFilter(const Convolution& conv, const TensorView& x, const TensorView& w, int64_t p,
                 int64_t q, const F& f) {
  for (int64_t r = 0; r < w.extent[2]; ++r) {
    const int64_t row = conv.Meets(0, p, r);
    if (row < 0 || row >= x.extent[2]) continue;
    for (int64_t s = 0; s < w.extent[3]; ++s) {
      const int64_t column = conv.Meets(1, q, s);
      if (column >= 0 && column < x.extent[3]) f(row, r, column, s);
    }
  }
}

// `result` is one of x, w and y; the rest is read.
void Convolve(cudnnBackendDescriptorType_t type, const Convolution& conv, const TensorView& x,
              const TensorView& w, const TensorView& y) {
  const TensorView& result = type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR ? y
                             : type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR
                                 ? x
                                 : w;
  const int64_t* e = result.extent;
  const int64_t filters = w.extent[0] / Convolution::Groups(x, w);  // of a group
  std::vector<double> sums(e[0] * e[1] * e[2] * e[3]);
  const auto sum_at = [&](int64_t n, int64_t c, int64_t h, int64_t v) -> double& {
    return sums[((n * e[1] + c) * e[2] + h) * e[3] + v];
  };
  for (int64_t n = 0; n < y.extent[0]; ++n) {
    for (int64_t p = 0; p < y.extent[2]; ++p) {
      for (int64_t q = 0; q < y.extent[3]; ++q) {
        UnderFilter(conv, x, w, p, q, [&](int64_t row, int64_t r, int64_t column, int64_t s) {
          for (int64_t k = 0; k < w.extent[0]; ++k) {
            const int64_t of_group = k / filters * w.extent[1];
            for (int64_t c = 0; c < w.extent[1]; ++c) {
              const int64_t channel = of_group + c;
              if (&result == &y) {
                sum_at(n, k, p, q) += x.Load(n, channel, row, column) * w.Load(k, c, r, s);
              } else if (&result == &x) {
                sum_at(n, channel, row, column) += y.Load(n, k, p, q) * w.Load(k, c, r, s);
              } else {
                sum_at(k, c, r, s) += y.Load(n, k, p, q) * x.Load(n, channel, row, column);
              }
            }
          }
        });
      }
    }
  }
  for (int64_t n = 0; n < e[0]; ++n) {
    for (int64_t c = 0; c < e[1]; ++c) {
      for (int64_t h = 0; h < e[2]; ++h) {
        for (int64_t v = 0; v < e[3]; ++v) result.Store(n, c, h, v, sum_at(n, c, h, v));
      }
    }
  }
}

// The attributes of an operation.
struct OperandNames {
  cudnnBackendAttributeName_t x, w, y, convolution, alpha, beta;
};

OperandNames NamesOf(cudnnBackendDescriptorType_t type) {
  switch (type) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    default:
      return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  }
}

// The data of a tensor in a variant pack; null where there is none, or it is not aligned as said.
void* DataOf(const Contents& pack, const TensorView& tensor) {
  const auto& ids = pack.values.at(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  for (size_t i = 0; i < ids.size() / sizeof(int64_t); ++i) {
    if (pack.Get<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, i) != tensor.id) continue;
    auto* data = pack.Get<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, i);
    return reinterpret_cast<uintptr_t>(data) % tensor.alignment == 0 ? data : nullptr;
  }
  return nullptr;
}

cudnnStatus_t Give(int64_t count, const void* values, size_t size, int64_t most, int64_t* given,
                   void* to) {
  *given = count;
  if (most > 0 && to != nullptr) std::memcpy(to, values, std::min(count, most) * size);
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

extern "C" {

size_t cudnnGetVersion() { return CUDNN_VERSION; }
const char* cudnnGetErrorString(cudnnStatus_t) { return "a status of the emulated GPU"; }
void cudnnGetLastErrorString(char* message, size_t size) {
  if (size > 0) message[0] = '\0';
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = new cudnnContext;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* descriptor) {
  auto contents = std::make_shared<Contents>();
  contents->type = type;
  *descriptor = new Handle(std::move(contents));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  delete static_cast<Handle*>(descriptor);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count,
                                       const void* values) {
  Contents& contents = *Of(descriptor);
  if (contents.final) return CUDNN_STATUS_BAD_PARAM;
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    const Handle& part = Of(*static_cast<const cudnnBackendDescriptor_t*>(values));
    if (!part->final) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    contents.parts[name] = part;
    return CUDNN_STATUS_SUCCESS;
  }
  const auto* bytes = static_cast<const char*>(values);
  contents.values[name].assign(bytes, bytes + count * SizeOfAttribute(type));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  Of(descriptor)->final = true;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(const cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t, int64_t most, int64_t* count,
                                       void* values) {
  const Contents& contents = *Of(descriptor);
  auto* descriptors = static_cast<cudnnBackendDescriptor_t*>(values);
  switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
      *count = kEngines;
      for (int64_t i = 0; i < std::min(most, kEngines); ++i) {
        Contents& configuration = *Of(descriptors[i]);
        configuration.parts = contents.parts;
        configuration.engine = i;
        configuration.final = true;
      }
      return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_ENGINECFG_ENGINE:
      *count = 1;
      Of(descriptors[0])->engine = contents.engine;
      return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE: {
      const cudnnBackendNumericalNote_t note = CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
      return Give(contents.engine == 0 ? 1 : 0, &note, sizeof(note), most, count, values);
    }
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE: {
      const Contents& configuration = contents.Part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
      const int64_t bytes = configuration.engine == kEngines - 1 ? kWorkspaceBytes : 0;
      return Give(1, &bytes, sizeof(bytes), most, count, values);
    }
    default:
      return CUDNN_STATUS_NOT_SUPPORTED;
  }
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t variants) {
  const Contents& configuration = Of(plan)->Part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  const Contents& graph = configuration.Part(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  const Contents& operation = graph.Part(CUDNN_ATTR_OPERATIONGRAPH_OPS);
  const Contents& pack = *Of(variants);
  const cudnnBackendDescriptorType_t type = operation.type;
  const OperandNames names = NamesOf(type);
  const Convolution conv(operation.Part(names.convolution));
  TensorView x(operation.Part(names.x)), w(operation.Part(names.w)), y(operation.Part(names.y));
  for (TensorView* tensor : {&x, &w, &y}) tensor->data = DataOf(pack, *tensor);
  if (x.data == nullptr || w.data == nullptr || y.data == nullptr) Fail("a tensor's data");
  if (!conv.Fits(x, w, y)) Fail("the extents");
  if (operation.Get<float>(names.alpha) != 1 || operation.Get<float>(names.beta) != 0) {
    Fail("alpha or beta");
  }
  auto* workspace = pack.Get<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  const bool works_there = configuration.engine == kEngines - 1;
  encke::emulated_gpu::Enqueue(handle->stream, [=] {
    if (works_there) std::memset(workspace, 0xcb, kWorkspaceBytes);
    Convolve(type, conv, x, w, y);
  });
  return CUDNN_STATUS_SUCCESS;
}

}  // extern "C"
