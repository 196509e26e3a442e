#include "engine/backend/cuda/cudnn_graph.h"

#include <algorithm>
#include <array>

#include "engine/backend/cuda/status.h"
#include "engine/core/error.h"

namespace encke::cuda {
namespace {

// Names of the tensors within a plan.
constexpr int64_t kX = 'x', kW = 'w', kY = 'y';
constexpr int64_t kAligned = 16;  // bytes

cudnnDataType_t TypeOf(DType dtype) {
  return dtype == DType::BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

// What the address of a tensor, which may be a slice of a batch, is a multiple of.
int64_t AlignmentOf(const Shape& s, DType dtype) {
  return s.sample() * SizeOf(dtype) % kAligned == 0 ? kAligned : SizeOf(dtype);
}

// A tensor that lies as n,h,w,c; cuDNN counts its dimensions as n,c,h,w.
Descriptor MakeTensor(int64_t id, const Shape& s, DType dtype, int64_t alignment) {
  const int64_t extents[] = {s.n, s.c, s.h, s.w};
  const int64_t strides[] = {s.sample(), 1, s.w * s.c, s.c};
  const cudnnDataType_t type = TypeOf(dtype);
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.Set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
  tensor.Set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  tensor.Set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
  tensor.Set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, extents);
  tensor.Set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
  tensor.Finalize();
  return tensor;
}

Descriptor MakeConvolution(const ConvOptions& o) {
  const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  const int64_t dimensions = 2;
  const int64_t strides[] = {o.stride_h, o.stride_w}, dilations[] = {o.dilation_h, o.dilation_w};
  const int64_t before[] = {o.pad_top, o.pad_left}, behind[] = {o.pad_bottom, o.pad_right};
  Descriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.Set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute);
  convolution.Set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  convolution.Set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &dimensions);
  convolution.Set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
  convolution.Set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilations);
  convolution.Set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before);
  convolution.Set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, behind);
  convolution.Finalize();
  return convolution;
}

// The attributes of one kind of operation.
struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t alpha, beta, convolution, x, w, y;
};

OperationNames NamesOf(ConvKind kind) {
  switch (kind) {
    case ConvKind::FORWARD:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y};
    case ConvKind::BACKWARD_DATA:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY};
    case ConvKind::BACKWARD_FILTER:
      break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY};
}

Descriptor MakeOperation(ConvKind kind, const Descriptor& x, const Descriptor& w,
                         const Descriptor& y, const Descriptor& convolution) {
  const OperationNames names = NamesOf(kind);
  const float one = 1.0f, zero = 0.0f;
  Descriptor operation(names.type);
  operation.SetDescriptor(names.x, x);
  operation.SetDescriptor(names.w, w);
  operation.SetDescriptor(names.y, y);
  operation.SetDescriptor(names.convolution, convolution);
  operation.Set(names.alpha, CUDNN_TYPE_FLOAT, 1, &one);
  operation.Set(names.beta, CUDNN_TYPE_FLOAT, 1, &zero);
  operation.Finalize();
  return operation;
}

Descriptor MakeGraph(const PlanTarget& target, const ConvOperation& conv) {
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  target.SetOnGraph(graph);
  graph.SetDescriptor(CUDNN_ATTR_OPERATIONGRAPH_OPS, conv.operation);
  graph.Finalize();
  return graph;
}

// Engine configurations that cuDNN's heuristic proposes, the best first; none when it knows none.
std::vector<Descriptor> Configurations(const PlanTarget& target, const Descriptor& graph,
                                       cudnnBackendHeurMode_t mode) {
  Descriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  target.SetOnHeuristic(heuristic);
  heuristic.SetDescriptor(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristic.Set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  if (!heuristic.TryFinalize()) return {};
  int64_t count = 0;
  if (cudnnBackendGetAttribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                               CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count,
                               nullptr) != CUDNN_STATUS_SUCCESS) {
    return {};
  }
  std::vector<Descriptor> configurations;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int64_t i = 0; i < count; ++i) {
    configurations.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    raw.push_back(configurations.back().get());
  }
  int64_t found = 0;
  ENCKE_CUDNN(cudnnBackendGetAttribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &found, raw.data()));
  configurations.erase(configurations.begin() + std::min(found, count), configurations.end());
  return configurations;
}

// What cuDNN says of the numbers that a configuration's engine gives.
std::vector<cudnnBackendNumericalNote_t> NotesOf(const Descriptor& configuration) {
  const Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t raw = engine.get();
  int64_t count = 0;
  ENCKE_CUDNN(cudnnBackendGetAttribute(configuration.get(), CUDNN_ATTR_ENGINECFG_ENGINE,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &raw));
  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> notes;
  ENCKE_CUDNN(cudnnBackendGetAttribute(engine.get(), CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                       CUDNN_TYPE_NUMERICAL_NOTE, notes.size(), &count,
                                       notes.data()));
  return {notes.begin(), notes.begin() + std::min<int64_t>(count, notes.size())};
}

bool IsAcceptable(const Descriptor& configuration, const ConvProblem& problem) {
  const bool wide = problem.dtype == DType::F32;
  const std::vector<cudnnBackendNumericalNote_t> notes = NotesOf(configuration);
  return std::none_of(notes.begin(), notes.end(), [&](cudnnBackendNumericalNote_t note) {
    switch (note) {
      case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
      case CUDNN_NUMERICAL_NOTE_FFT:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD:
        return true;
      case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
        return wide;
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        return wide && !problem.tf32;
      default:
        return false;
    }
  });
}

}  // namespace

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  ENCKE_CUDNN(cudnnBackendCreateDescriptor(type, &descriptor_));
}

Descriptor::~Descriptor() {
  if (descriptor_ != nullptr) ENCKE_CUDNN_WARN(cudnnBackendDestroyDescriptor(descriptor_));
}

void Descriptor::Set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                     int64_t count, const void* values) {
  ENCKE_CUDNN(cudnnBackendSetAttribute(descriptor_, name, type, count, values));
}

void Descriptor::SetDescriptor(cudnnBackendAttributeName_t name, const Descriptor& value) {
  const cudnnBackendDescriptor_t raw = value.get();
  Set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &raw);
}

void Descriptor::Finalize() { ENCKE_CUDNN(cudnnBackendFinalize(descriptor_)); }

PlanTarget PlanTarget::Described(const std::string& json) {
  auto description = std::make_shared<Descriptor>(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  description->Set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                   static_cast<int64_t>(json.size()), json.data());
  description->Finalize();
  PlanTarget target(nullptr);
  target.description_ = std::move(description);
  return target;
}

void PlanTarget::SetOnGraph(Descriptor& graph) const {
  if (description_ != nullptr) return;
  graph.Set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle_);
}

void PlanTarget::SetOnHeuristic(Descriptor& heuristic) const {
  if (description_ == nullptr) return;
  heuristic.SetDescriptor(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *description_);
}

void PlanTarget::SetOnPlan(Descriptor& plan) const {
  if (description_ != nullptr) {
    plan.SetDescriptor(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *description_);
  } else {
    plan.Set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle_);
  }
}

ConvOperation::ConvOperation(const ConvProblem& problem)
    : x(MakeTensor(kX, problem.x, problem.dtype, AlignmentOf(problem.x, problem.dtype))),
      w(MakeTensor(kW, problem.filter(), problem.dtype, kAligned)),
      y(MakeTensor(kY, problem.y, problem.dtype, AlignmentOf(problem.y, problem.dtype))),
      convolution(MakeConvolution(problem.options)),
      operation(MakeOperation(problem.kind, x, w, y, convolution)) {}

std::optional<ExecutionPlan> ExecutionPlan::Make(const PlanTarget& target,
                                                 const Descriptor& configuration) {
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  target.SetOnPlan(plan);
  plan.SetDescriptor(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
  if (!plan.TryFinalize()) return std::nullopt;
  int64_t bytes = 0, count = 0;
  ENCKE_CUDNN(cudnnBackendGetAttribute(plan.get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                       CUDNN_TYPE_INT64, 1, &count, &bytes));
  return ExecutionPlan(std::move(plan), bytes);
}

cudnnStatus_t ExecutionPlan::Run(cudnnHandle_t handle, const ConvPointers& pointers,
                                 void* workspace) const {
  const int64_t ids[] = {kX, kW, kY};
  void* const data[] = {pointers.x, pointers.w, pointers.y};
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.Set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, ids);
  pack.Set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, data);
  pack.Set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  pack.Finalize();
  return cudnnBackendExecute(handle, plan_.get(), pack.get());
}

std::vector<ExecutionPlan> ProposePlans(const PlanTarget& target, const ConvProblem& problem,
                                        int64_t most, int64_t scratch_limit) {
  const ConvOperation conv(problem);
  const Descriptor graph = MakeGraph(target, conv);
  std::vector<ExecutionPlan> plans;
  for (cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    if (!plans.empty()) break;  // the fallback is for when nothing else is left
    for (const Descriptor& configuration : Configurations(target, graph, mode)) {
      if (static_cast<int64_t>(plans.size()) >= most) break;
      if (!IsAcceptable(configuration, problem)) continue;
      std::optional<ExecutionPlan> plan = ExecutionPlan::Make(target, configuration);
      if (plan && plan->workspace_bytes() <= scratch_limit) plans.push_back(std::move(*plan));
    }
  }
  return plans;
}

}  // namespace encke::cuda
