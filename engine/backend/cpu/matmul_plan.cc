#include "engine/backend/cpu/matmul_plan.h"

#include "engine/core/parallel.h"

namespace encke::cpu {
namespace {

using Memory = dnnl::memory;
using Tag = dnnl::memory::format_tag;

dnnl::matmul::primitive_desc MakeDesc(const MatmulCall& call, const dnnl::engine& engine) {
  constexpr auto kF32 = Memory::data_type::f32;
  const Memory::desc a({call.rows, call.inner}, kF32, call.transposed_a ? Tag::ba : Tag::ab);
  const Memory::desc b({call.inner, call.columns}, kF32, call.transposed_b ? Tag::ba : Tag::ab);
  const Memory::desc bias({1, call.columns}, kF32, Tag::ab);
  const Memory::desc c({call.rows, call.columns}, kF32, Tag::ab);
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (call.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attr.set_post_ops(sum);
  }
  if (call.bias) return {dnnl::matmul::desc(a, b, bias, c), attr, engine};
  return {dnnl::matmul::desc(a, b, c), attr, engine};
}

}  // namespace

PrimitiveKey MatmulCall::Key() const {
  return {rows, inner, columns, transposed_a, transposed_b, bias, accumulate, Threads()};
}

MatmulPlan::MatmulPlan(const MatmulCall& call, const dnnl::engine& engine)
    : engine_(engine), desc_(MakeDesc(call, engine)), bias_(call.bias) {}

int64_t MatmulPlan::scratch_bytes() const {
  return static_cast<int64_t>(desc_.scratchpad_desc().get_size());
}

void MatmulPlan::Run(dnnl::stream& stream, const MatmulBuffers& buffers, void* scratch) {
  if (!primitive_) primitive_ = dnnl::matmul(desc_);
  std::unordered_map<int, Memory> arguments = {
      {DNNL_ARG_SRC, Wrap(desc_.src_desc(), engine_, buffers.a)},
      {DNNL_ARG_WEIGHTS, Wrap(desc_.weights_desc(), engine_, buffers.b)},
      {DNNL_ARG_DST, Wrap(desc_.dst_desc(), engine_, buffers.c)},
      {DNNL_ARG_SCRATCHPAD, Wrap(desc_.scratchpad_desc(), engine_, scratch)}};
  if (bias_) arguments.emplace(DNNL_ARG_BIAS, Wrap(desc_.bias_desc(), engine_, buffers.bias));
  primitive_.execute(stream, arguments);
  stream.wait();
}

}  // namespace encke::cpu
