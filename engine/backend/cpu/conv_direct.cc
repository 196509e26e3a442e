#include "engine/backend/cpu/conv_direct.h"

#include <algorithm>
#include <string>
#include <unordered_map>

namespace encke::cpu {
namespace {

using Memory = dnnl::memory;
using Tag = dnnl::memory::format_tag;

Memory::desc ActivationDesc(const Shape& s, DType dtype) {
  return {{s.n, s.c, s.h, s.w}, DnnlType(dtype), Tag::nhwc};
}

// [K,R,S,C/groups], as the caller holds it or in whatever order oneDNN likes.
Memory::desc FilterDesc(const ConvCall& call, Memory::data_type type, bool plain) {
  const ConvOptions& o = call.options;
  const int64_t k = call.y.c / o.groups, c = call.x.c / o.groups;
  if (o.groups == 1) return {{k, c, o.kernel_h, o.kernel_w}, type, plain ? Tag::ohwi : Tag::any};
  return {{o.groups, k, c, o.kernel_h, o.kernel_w}, type, plain ? Tag::gohwi : Tag::any};
}

dnnl::primitive_attr OwnScratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

// What the three descriptors of a convolution have in common.
struct Arguments {
  explicit Arguments(const ConvCall& call)
      : x(ActivationDesc(call.x, call.dtype)),
        y(ActivationDesc(call.y, call.dtype)),
        filter(FilterDesc(call, DnnlType(call.dtype), false)),
        bias({call.y.c}, Memory::data_type::f32, Tag::x),
        stride{call.options.stride_h, call.options.stride_w},
        dilation{call.options.dilation_h - 1, call.options.dilation_w - 1},
        pad_near{call.options.pad_top, call.options.pad_left},
        pad_far{call.options.pad_bottom, call.options.pad_right} {}

  Memory::desc x, y, filter, bias;
  Memory::dims stride, dilation, pad_near, pad_far;
};

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

dnnl::convolution_forward::primitive_desc ForwardDesc(const ConvCall& call,
                                                      const dnnl::engine& engine) {
  using Forward = dnnl::convolution_forward;
  constexpr auto kTraining = dnnl::prop_kind::forward_training;
  const Arguments a(call);
  const auto desc = call.bias && call.kind == ConvKind::FORWARD
                        ? Forward::desc(kTraining, kDirect, a.x, a.filter, a.bias, a.y, a.stride,
                                        a.dilation, a.pad_near, a.pad_far)
                        : Forward::desc(kTraining, kDirect, a.x, a.filter, a.y, a.stride,
                                        a.dilation, a.pad_near, a.pad_far);
  return {desc, OwnScratchpad(), engine};
}

dnnl::primitive_desc BackwardDataDesc(const ConvCall& call, const dnnl::engine& engine) {
  using Backward = dnnl::convolution_backward_data;
  const Arguments a(call);
  const Backward::desc desc(kDirect, a.x, a.filter, a.y, a.stride, a.dilation, a.pad_near,
                            a.pad_far);
  return Backward::primitive_desc(desc, OwnScratchpad(), engine, ForwardDesc(call, engine));
}

// oneDNN's kernels for 1x1 filters first copy the pixels that a strided filter looks at. Version
// 2.6.3 computes wrong filter gradients there when the channels do not fill a vector: 8 with AVX2,
// 16 with AVX-512, where it takes several threads to happen.
bool Miscomputes(const dnnl::primitive_desc& filter_gradient, const ConvCall& call) {
  const ConvOptions& o = call.options;
  const bool strided = o.stride_h > 1 || o.stride_w > 1;
  const std::string kernel = filter_gradient.impl_info_str();
  return strided && call.x.c / o.groups < 16 && kernel.find("1x1") != std::string::npos;
}

dnnl::primitive_desc BackwardFilterDesc(const ConvCall& call, const dnnl::engine& engine) {
  using Backward = dnnl::convolution_backward_weights;
  const Arguments a(call);
  const Memory::desc filter = FilterDesc(call, Memory::data_type::f32, false);
  const auto desc = call.bias ? Backward::desc(kDirect, a.x, filter, a.bias, a.y, a.stride,
                                               a.dilation, a.pad_near, a.pad_far)
                              : Backward::desc(kDirect, a.x, filter, a.y, a.stride, a.dilation,
                                               a.pad_near, a.pad_far);
  const auto forward = ForwardDesc(call, engine);  // next_impl reads it again
  Backward::primitive_desc primitive(desc, OwnScratchpad(), engine, forward);
  while (Miscomputes(primitive, call) && primitive.next_impl()) {
  }
  return primitive;
}

dnnl::primitive_desc MakeDesc(const ConvCall& call, const dnnl::engine& engine) {
  switch (call.kind) {
    case ConvKind::FORWARD:
      return ForwardDesc(call, engine);
    case ConvKind::BACKWARD_DATA:
      return BackwardDataDesc(call, engine);
    case ConvKind::BACKWARD_FILTER:
      return BackwardFilterDesc(call, engine);
  }
  return {};
}

// What oneDNN calls the arguments of each kind.
struct ArgumentNames {
  int x, filter, bias, y;
};

ArgumentNames NamesOf(ConvKind kind) {
  switch (kind) {
    case ConvKind::FORWARD:
      return {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST};
    case ConvKind::BACKWARD_DATA:
      return {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DIFF_DST};
    case ConvKind::BACKWARD_FILTER:
      break;
  }
  return {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS, DNNL_ARG_DIFF_DST};
}

dnnl::reorder::primitive_desc MakeReorderDesc(const dnnl::engine& engine, const Memory::desc& from,
                                              const Memory::desc& to, bool add) {
  dnnl::primitive_attr attr = OwnScratchpad();
  if (add) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attr.set_post_ops(sum);
  }
  return {engine, from, engine, to, attr};
}

int64_t Bytes(const Memory::desc& desc) { return static_cast<int64_t>(desc.get_size()); }

}  // namespace

DirectConv::DirectConv(const ConvCall& call, const dnnl::engine& engine)
    : kind_(call.kind),
      accumulate_(call.accumulate),
      bias_elements_(call.bias ? call.y.c : 0),
      engine_(engine),
      x_(ActivationDesc(call.x, call.dtype)),
      y_(ActivationDesc(call.y, call.dtype)),
      bias_({call.y.c}, Memory::data_type::f32, Tag::x),
      plain_filter_(FilterDesc(call, Memory::data_type::f32, true)),
      desc_(MakeDesc(call, engine)) {
  const bool gradient = kind_ == ConvKind::BACKWARD_FILTER;
  filter_ = gradient ? desc_.diff_weights_desc(0) : desc_.weights_desc(0);
  reorders_ = accumulate_ || filter_ != plain_filter_;
  int64_t scratch = Bytes(desc_.scratchpad_desc());
  if (reorders_) {
    reorder_desc_ = gradient ? MakeReorderDesc(engine, filter_, plain_filter_, accumulate_)
                             : MakeReorderDesc(engine, plain_filter_, filter_, false);
    scratch = std::max(scratch, Bytes(reorder_desc_.scratchpad_desc()));
  }
  WorkspaceLayout layout;
  scratch_at_ = layout.Add(scratch);
  filter_at_ = layout.Add(reorders_ ? Bytes(filter_) : 0);
  bias_at_ = layout.Add(accumulate_ ? bias_elements_ * SizeOf(DType::F32) : 0);
  workspace_bytes_ = layout.total();
}

void DirectConv::Compile() {
  if (primitive_) return;
  primitive_ = dnnl::primitive(desc_);
  if (reorders_) reorder_ = dnnl::reorder(reorder_desc_);
}

void DirectConv::Reorder(dnnl::stream& stream, const Workspace& workspace, const void* from,
                         const void* to) {
  reorder_.execute(stream, {{DNNL_ARG_FROM, Wrap(reorder_desc_.src_desc(), engine_, from)},
                            {DNNL_ARG_TO, Wrap(reorder_desc_.dst_desc(), engine_, to)},
                            {DNNL_ARG_SCRATCHPAD, Wrap(reorder_desc_.scratchpad_desc(), engine_,
                                                       workspace.At(scratch_at_))}});
}

void DirectConv::Run(dnnl::stream& stream, const Workspace& workspace, const ConvBuffers& buffers) {
  Compile();
  const void* filter = reorders_ ? workspace.At(filter_at_) : buffers.filter;
  const bool add_bias = accumulate_ && bias_elements_ > 0;
  const void* bias = add_bias ? workspace.At(bias_at_) : buffers.bias;
  if (reorders_ && kind_ != ConvKind::BACKWARD_FILTER)
    Reorder(stream, workspace, buffers.filter, filter);

  const ArgumentNames names = NamesOf(kind_);
  std::unordered_map<int, Memory> arguments = {
      {names.x, Wrap(x_, engine_, buffers.x)},
      {names.filter, Wrap(filter_, engine_, filter)},
      {names.y, Wrap(y_, engine_, buffers.y)},
      {DNNL_ARG_SCRATCHPAD, Wrap(desc_.scratchpad_desc(), engine_, workspace.At(scratch_at_))}};
  if (bias_elements_ > 0) arguments.emplace(names.bias, Wrap(bias_, engine_, bias));
  primitive_.execute(stream, arguments);

  if (reorders_ && kind_ == ConvKind::BACKWARD_FILTER)
    Reorder(stream, workspace, filter, buffers.filter);
  stream.wait();
  if (!add_bias) return;
  float* sum = static_cast<float*>(const_cast<void*>(buffers.bias));
  for (int64_t k = 0; k < bias_elements_; ++k) sum[k] += static_cast<const float*>(bias)[k];
}

}  // namespace encke::cpu
