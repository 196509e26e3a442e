// Running a layer once on guarded memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "engine/core/packed_samples.h"
#include "engine/core/rng.h"
#include "tests/layers/op_test.h"

namespace encke {
namespace {

constexpr int64_t kGuard = 64;
constexpr uint8_t kGuardByte = 0xA5;
constexpr uint8_t kUnwritten = 0xFF;  // four (or two) of them are a NaN

// Tensors with guard bytes on both sides. What nobody wrote reads as NaN.
class GuardedMemory {
 public:
  explicit GuardedMemory(Backend& backend) : backend_(backend) {}

  Tensor New(const Shape& shape, DType dtype) {
    const int64_t bytes = shape.elements() * SizeOf(dtype);
    auto buffer = backend_.allocator().Allocate(bytes + 2 * kGuard, MemoryCategory::TRANSIENT);
    const Tensor whole(buffer, 0, Shape::Vector(buffer->bytes()), DType::U8);
    std::vector<uint8_t> image(whole.bytes(), kGuardByte);
    std::fill_n(image.begin() + kGuard, bytes, kUnwritten);
    backend_.CopyFromHost(image.data(), whole);
    wholes_.push_back(whole);
    return Tensor(buffer, kGuard, shape, dtype);
  }

  Tensor From(const Values& values, const Shape& shape, DType dtype) {
    const Tensor tensor = New(shape, dtype);
    if (dtype == DType::F32) {
      backend_.CopyFromHost(values.data(), tensor);
    } else {
      std::vector<bfloat16> narrow;
      for (const float value : values) narrow.emplace_back(value);
      backend_.CopyFromHost(narrow.data(), tensor);
    }
    return tensor;
  }

  Values Read(const Tensor& tensor) {
    Values values(tensor.elements());
    if (tensor.dtype() == DType::F32) {
      backend_.CopyToHost(tensor, values.data());
    } else {
      std::vector<bfloat16> narrow(tensor.elements());
      backend_.CopyToHost(tensor, narrow.data());
      std::transform(narrow.begin(), narrow.end(), values.begin(),
                     [](bfloat16 value) { return static_cast<float>(value); });
    }
    return values;
  }

  void CheckGuards() {
    for (const Tensor& whole : wholes_) {
      std::vector<uint8_t> image(whole.bytes());
      backend_.CopyToHost(whole, image.data());
      const auto damaged = [](uint8_t byte) { return byte != kGuardByte; };
      EXPECT_FALSE(std::any_of(image.begin(), image.begin() + kGuard, damaged))
          << "written before a tensor of " << whole.bytes() - 2 * kGuard << " bytes";
      EXPECT_FALSE(std::any_of(image.end() - kGuard, image.end(), damaged))
          << "written behind a tensor of " << whole.bytes() - 2 * kGuard << " bytes";
    }
  }

 private:
  Backend& backend_;
  std::vector<Tensor> wholes_;
};

// One pass of a layer; the members are in the order in which they come to be.
class OpRun {
 public:
  OpRun(Backend& backend, const OpCase& op, const Layer& layer, const OpValues& values,
        const OpMode& mode)
      : backend_(backend),
        op_(op),
        layer_(layer),
        values_(values),
        mode_(mode),
        memory_(backend),
        forward_{backend, mode.phase, kSeed, kStream, {}, {}, {}, {}, {}, {}},
        backward_{backend, kSeed, kStream,         {}, {}, {},  {}, {}, {},
                  {},      {},    mode.accumulate, {}, {}, 1.0f} {}

  OpResult Run() {
    Forward();
    ReadAll(forward_.outputs, &result_.outputs);
    ReadAll(forward_.parameters, &result_.parameters);
    if (mode_.backward) {
      Backward();
      ReadGradients();
    }
    memory_.CheckGuards();
    return result_;
  }

 private:
  static constexpr uint64_t kSeed = 7, kStream = 11;

  void Forward() {
    for (size_t i = 0; i < values_.inputs.size(); ++i) {
      forward_.inputs.push_back(
          memory_.From(values_.inputs[i], values_.input_shapes[i], mode_.dtype));
    }
    const DType output_dtype = layer_.IsLoss() ? DType::F32 : mode_.dtype;
    const Shape& shape = values_.output_shapes[0];
    const int place = mode_.forward_in_place;
    forward_.outputs.push_back(place >= 0 ? forward_.inputs[place].Reshape(shape)
                                          : memory_.New(shape, output_dtype));
    for (const StateSpec& spec : layer_.States()) {
      const bool training = mode_.phase == Phase::TRAIN;
      forward_.state.push_back(training ? memory_.New(spec.shape, spec.dtype) : Tensor());
    }
    for (size_t i = 0; i < values_.parameters.size(); ++i) {
      forward_.parameters.push_back(
          memory_.From(values_.parameters[i], values_.parameter_specs[i].shape, DType::F32));
    }
    UploadLabels();
    RunForward();
    if (mode_.forward_in_place < 0) ExpectInputsUntouched();
  }

  void UploadLabels() {
    if (!layer_.IsLoss()) return;
    forward_.labels = memory_.New({values_.input_shapes[0].n, 1, 1, 1}, DType::I32);
    backend_.CopyFromHost(values_.labels.data(), forward_.labels);
  }

  void ExpectInputsUntouched() {
    for (size_t i = 0; i < forward_.inputs.size(); ++i) {
      const Tensor fresh = memory_.From(values_.inputs[i], values_.input_shapes[i], mode_.dtype);
      EXPECT_EQ(memory_.Read(forward_.inputs[i]), memory_.Read(fresh)) << "input " << i;
    }
  }

  void Backward() {
    backward_.state = forward_.state;
    backward_.parameters = forward_.parameters;
    backward_.labels = forward_.labels;
    if (layer_.IsLoss()) backward_.loss_scale = values_.output_gradients[0][0];
    HandOverSaved();
    PrepareGradients();
    RunBackward();
  }

  // Slice after slice, and for layers whose samples meet in three passes.
  void RunForward() {
    const bool gathers = layer_.Gathers() && mode_.phase == Phase::TRAIN;
    if (gathers) {
      ForEachSlice([&](const Slice& slice, int64_t count) {
        ForwardContext part = SliceOf(forward_, slice, count);
        layer_.GatherForward(part);
      });
      layer_.FinishForward(forward_);
    }
    ForEachSlice([&](const Slice& slice, int64_t count) {
      ForwardContext part = SliceOf(forward_, slice, count);
      layer_.Forward(part);
    });
  }

  void RunBackward() {
    if (layer_.Gathers()) {
      ForEachSlice([&](const Slice& slice, int64_t count) {
        BackwardContext part = SliceOf(backward_, slice, count);
        layer_.GatherBackward(part);
      });
      layer_.FinishBackward(backward_);
    }
    ForEachSlice([&](const Slice& slice, int64_t count) {
      BackwardContext part = SliceOf(backward_, slice, count);
      part.accumulate = backward_.accumulate || slice.continues;
      layer_.Backward(part);
    });
  }

  // Calls visit(slice, samples).
  template <typename Visit>
  void ForEachSlice(const Visit& visit) const {
    const int64_t batch = values_.input_shapes[0].n;
    const int64_t samples = mode_.slice > 0 ? mode_.slice : batch;
    for (int64_t first = 0; first < batch; first += samples) {
      visit(Slice{first, batch, first > 0}, std::min(samples, batch - first));
    }
  }

  static void Cut(std::vector<Tensor>* tensors, const Slice& slice, int64_t count) {
    for (Tensor& tensor : *tensors) {
      if (tensor.defined()) tensor = tensor.Slice(slice.first, count);
    }
  }

  void CutStates(std::vector<Tensor>* states, const Slice& slice, int64_t count) const {
    const std::vector<StateSpec> specs = layer_.States();
    for (size_t i = 0; i < states->size(); ++i) {
      Tensor& state = (*states)[i];
      if (state.defined() && !specs[i].whole) state = state.Slice(slice.first, count);
    }
  }

  ForwardContext SliceOf(const ForwardContext& whole, const Slice& slice, int64_t count) const {
    ForwardContext part = whole;
    part.slice = slice;
    Cut(&part.inputs, slice, count);
    Cut(&part.outputs, slice, count);
    CutStates(&part.state, slice, count);
    if (part.labels.defined()) part.labels = part.labels.Slice(slice.first, count);
    return part;
  }

  BackwardContext SliceOf(const BackwardContext& whole, const Slice& slice, int64_t count) const {
    BackwardContext part = whole;
    part.slice = slice;
    for (auto* tensors :
         {&part.inputs, &part.outputs, &part.output_gradients, &part.input_gradients}) {
      Cut(tensors, slice, count);
    }
    CutStates(&part.state, slice, count);
    if (part.labels.defined()) part.labels = part.labels.Slice(slice.first, count);
    return part;
  }

  // Only what was declared; a mask as a tensor that has nothing but the sign right.
  void HandOverSaved() {
    backward_.inputs.resize(forward_.inputs.size());
    backward_.outputs.resize(1);
    backward_.output_masks.resize(1);
    for (const SavedNeed& need : layer_.SavedNeeds()) {
      const bool input = need.of == SavedNeed::Of::INPUT;
      const Tensor value = input ? SavedInput(need.index) : forward_.outputs[need.index];
      if (need.form == SavedNeed::Form::MASK) {
        ENCKE_CHECK(!input, "masks of inputs do not exist");
        HandOverMask(value);
      } else {
        (input ? backward_.inputs : backward_.outputs)[need.index] = value;
      }
    }
  }

  // As it was stored before a layer that works in place overwrote it.
  Tensor SavedInput(int index) {
    if (mode_.forward_in_place < 0) return forward_.inputs[index];
    return memory_.From(values_.inputs[index], values_.input_shapes[index], mode_.dtype);
  }

  void HandOverMask(const Tensor& value) {
    if (mode_.packed_mask) {
      const Shape& shape = value.shape();
      const Tensor bits = memory_.New({shape.n, 1, 1, PackedSampleBytes(shape, 1)}, DType::U8);
      for (int64_t n = 0; n < shape.n; ++n) backend_.PackMask(value.Slice(n, 1), bits.Slice(n, 1));
      backward_.output_masks[0] = bits;
      return;
    }
    Values signs = memory_.Read(value);
    for (float& sign : signs) sign = sign > 0.0f ? 0.5f : 0.0f;
    backward_.outputs[0] = memory_.From(signs, value.shape(), value.dtype());
  }

  void PrepareGradients() {
    const Shape& shape = values_.output_shapes[0];
    const Tensor dy =
        layer_.IsLoss() ? Tensor() : memory_.From(values_.output_gradients[0], shape, mode_.dtype);
    backward_.output_gradients = {dy};
    for (size_t i = 0; i < values_.inputs.size(); ++i) {
      backward_.input_gradients.push_back(InputGradient(static_cast<int>(i), dy));
    }
    for (const ParameterSpec& spec : values_.parameter_specs) {
      const bool asked = mode_.parameter_gradients && spec.trained();
      const Values before(spec.shape.elements(), kAccumulatedOnto);
      backward_.parameter_gradients.push_back(!asked ? Tensor()
                                              : mode_.accumulate
                                                  ? memory_.From(before, spec.shape, DType::F32)
                                                  : memory_.New(spec.shape, DType::F32));
    }
  }

  Tensor InputGradient(int input, const Tensor& dy) {
    if (!mode_.input_gradients || layer_.Flow(input) == GradientFlow::IDENTITY) return Tensor();
    const Shape& shape = values_.input_shapes[input];
    return mode_.gradient_in_place ? dy.Reshape(shape) : memory_.New(shape, mode_.dtype);
  }

  void ReadGradients() {
    const Tensor& dy = backward_.output_gradients[0];
    if (dy.defined() && !mode_.gradient_in_place) {
      const Tensor fresh = memory_.From(values_.output_gradients[0], dy.shape(), mode_.dtype);
      EXPECT_EQ(memory_.Read(dy), memory_.Read(fresh)) << "output gradient";
    }
    std::vector<Tensor> dx = backward_.input_gradients;
    for (size_t i = 0; i < dx.size(); ++i) {
      if (layer_.Flow(static_cast<int>(i)) == GradientFlow::IDENTITY) dx[i] = dy;
    }
    ReadAll(dx, &result_.input_gradients);
    ReadAll(backward_.parameter_gradients, &result_.parameter_gradients);
  }

  void ReadAll(const std::vector<Tensor>& tensors, std::vector<Values>* values) {
    for (const Tensor& tensor : tensors) {
      values->push_back(tensor.defined() ? memory_.Read(tensor) : Values());
    }
  }

  Backend& backend_;
  const OpCase& op_;
  const Layer& layer_;
  const OpValues& values_;
  const OpMode& mode_;
  GuardedMemory memory_;
  ForwardContext forward_;
  BackwardContext backward_;
  OpResult result_;
};

Values DrawNormal(int64_t n, Rng* rng) {
  Values values(n);
  for (float& value : values) value = static_cast<float>(rng->Normal());
  return values;
}

// A random order of n values 0.06 apart, around 0 but not 0.
Values DrawSeparated(int64_t n, Rng* rng) {
  Values values(n);
  for (int64_t i = 0; i < n; ++i) values[i] = 0.06f * static_cast<float>(i - n / 2) + 0.03f;
  for (int64_t i = n - 1; i > 0; --i) std::swap(values[i], values[rng->Below(i + 1)]);
  return values;
}

Values DrawParameter(const ParameterSpec& spec, Rng* rng) {
  Values values = DrawNormal(spec.shape.elements(), rng);
  if (spec.role == ParameterSpec::Role::STATISTIC) {  // a variance is positive
    for (float& value : values) value = 0.5f + std::abs(value);
  }
  return values;
}

}  // namespace

OpValues DrawValues(const OpCase& op, Layer& layer) {
  Rng rng(1, RngStream::TEST);
  OpValues values;
  values.input_shapes = op.inputs;
  values.output_shapes = layer.InferShapes(op.inputs);
  ENCKE_CHECK(values.output_shapes.size() == 1);
  for (const Shape& shape : op.inputs) {
    values.inputs.push_back(op.separated_inputs ? DrawSeparated(shape.elements(), &rng)
                                                : DrawNormal(shape.elements(), &rng));
  }
  values.parameter_specs = layer.Parameters();
  for (const ParameterSpec& spec : values.parameter_specs) {
    values.parameters.push_back(DrawParameter(spec, &rng));
  }
  for (int64_t i = 0; i < op.inputs[0].n; ++i) {
    values.labels.push_back(static_cast<int32_t>(rng.Below(op.classes)));
  }
  // Of a loss: the one scale that all its samples have.
  const int64_t outputs = values.output_shapes[0].elements();
  values.output_gradients = {layer.IsLoss() ? Values(outputs, 0.7f) : DrawNormal(outputs, &rng)};
  return values;
}

OpResult RunOp(Backend& backend, const OpCase& op, const Layer& layer, const OpValues& values,
               const OpMode& mode) {
  return OpRun(backend, op, layer, values, mode).Run();
}

Backend& TestBackend() {
  static const std::unique_ptr<Backend> backend = [] {
    const char* device = std::getenv("ENCKE_TEST_DEVICE");
    BackendOptions options;
    options.tf32 = false;  // which the comparisons are too narrow for
    return NewBackend(Device::Parse(device != nullptr ? device : "cpu"), options);
  }();
  return *backend;
}

std::vector<int64_t> AwkwardSizes() { return {1, 3, 7, 8, 9, 15, 16, 17, 33}; }

}  // namespace encke
