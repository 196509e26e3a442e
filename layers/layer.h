// The contract between a layer and the engine.
//
// A layer knows its hyper-parameters, infers shapes, declares which values its backward pass reads,
// and computes forward and backward through the primitives of a Backend. It holds no device code,
// no tensors, and does not know how saved values are kept: the plan (engine/graph/plan.h) decides
// that, the executor hands them over.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/core/tensor.h"

namespace encke {

// How wrong a saved value may be when backward reads it.
enum class BoundRule {
  EXACT,            // not at all
  WEIGHT_GRADIENT,  // only the gradient of parameter 0 reads it: the bound follows from that
                    // gradient's noise (doc/error-propagation.md)
  CHANNEL_STD,  // a fraction of the channel's standard deviation, which the layer's state 1 holds
                // inverted
  VALUE_RMS,    // a fraction of the root mean square of its non-zero elements
};

// One value that backward reads.
struct SavedNeed {
  enum class Of { INPUT, OUTPUT };
  enum class Form {
    VALUE,  // the elements
    MASK,   // only where an element is > 0
  };
  Of of = Of::INPUT;
  int index = 0;  // of the input or output
  Form form = Form::VALUE;
  BoundRule rule = BoundRule::EXACT;
};

// A small tensor of the layer's own that forward writes and backward reads; always kept exactly.
struct StateSpec {
  std::string name;
  Shape shape;
  DType dtype = DType::F32;
  int bits = 0;  // U8: elements are below 2^bits and may be packed; 0: they may not
  // Of the whole batch, whatever slice is worked on; else n counts samples.
  bool whole = false;
  // Only within a pass: what forward leaves there is lost to backward.
  bool scratch = false;
};

struct Initializer {
  enum class Kind {
    CONSTANT,
    GAUSSIAN,
    XAVIER_UNIFORM,
    KAIMING_NORMAL_FAN_OUT,
    KAIMING_NORMAL_FAN_IN,
    KAIMING_UNIFORM_FAN_IN
  };
  Kind kind = Kind::CONSTANT;
  float value = 0.0f;  // CONSTANT: the constant; GAUSSIAN: the standard deviation;
                       // KAIMING_UNIFORM_FAN_IN: `a` of the leaky slope
};

struct ParameterSpec {
  enum class Role {
    WEIGHT,
    BIAS,
    NORM_SCALE,
    NORM_SHIFT,
    STATISTIC
  };                 // STATISTIC: not trained (running mean, variance)
  std::string name;  // within the layer, torchvision's: "weight", "bias", "running_mean", ...
  Shape shape;
  Role role = Role::WEIGHT;
  Initializer initializer;
  int64_t fan_in = 1, fan_out = 1;  // for the initializer
  bool trained() const { return role != Role::STATISTIC; }
};

enum class Phase { TRAIN, EVALUATE };

// The part of the batch that a call works on: everything in its context with samples has only
// these.
struct Slice {
  int64_t first = 0;       // sample
  int64_t batch = 0;       // samples of the whole batch
  bool continues = false;  // other slices came before: add to what they summed up
};

struct ForwardContext {
  Backend& backend;
  Phase phase = Phase::TRAIN;
  uint64_t seed = 0;           // of the run
  uint64_t random_stream = 0;  // differs for each (iteration, layer): for Rng-like primitives
  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;     // output 0 may share memory with an input where ForwardInPlace()
  std::vector<Tensor> state;       // as States() says; undefined at evaluation
  std::vector<Tensor> parameters;  // as Parameters() says
  Tensor labels;                   // I32 [N], for losses
  Slice slice;
  // What comes behind, in the same pass over memory: where the layer TakesAddend(), a tensor that
  // is added to output 0, which may be in its place; where it TakesRelu(), a ReLU, last.
  Tensor addend = Tensor();
  bool relu = false;
};

struct BackwardContext {
  Backend& backend;
  uint64_t seed = 0;
  uint64_t random_stream = 0;
  std::vector<Tensor>
      inputs;  // defined where SavedNeeds() asked for VALUE (perhaps with errors inside the bound);
               // of WEIGHT_GRADIENT, only where the parameters' gradients are defined
  std::vector<Tensor> outputs;  // likewise; for MASK: any tensor of the dtype that is > 0 exactly
                                // where the value was, or undefined, then output_masks has the bits
  // U8 [N,1,1,PackedSampleBytes]: Backend::PackMask of each sample (engine/core/packed_samples.h).
  std::vector<Tensor> output_masks;
  std::vector<Tensor> state;
  std::vector<Tensor> parameters;
  std::vector<Tensor> output_gradients;
  std::vector<Tensor> input_gradients;      // undefined where nobody asks for it
  std::vector<Tensor> parameter_gradients;  // undefined for STATISTIC and where nobody asks for it
  bool accumulate = false;                  // parameter gradients: add instead of overwrite
  Tensor labels;
  Slice slice;
  float loss_scale = 1.0f;  // losses: factor on the gradient of each sample's loss (1 / batch, also
                            // over accumulation)
};

// How a gradient comes from the output's.
enum class GradientFlow {
  COMPUTED,  // Backward writes input_gradients[i], which shares memory with no output gradient
  IN_PLACE,  // Backward writes input_gradients[i], which may share memory with output_gradients[0]
  IDENTITY,  // it IS output_gradients[0] (perhaps under another shape); Backward does not touch it
};

class Layer {
 public:
  virtual ~Layer() = default;

  virtual std::string type() const = 0;  // "conv", "batch_norm", ...; lower case, as in the config
  // Output shapes for these input shapes. Throws Error(CONFIG) without place: what does not fit and
  // what would. Called before any of the methods below, which may rely on what it stored.
  virtual std::vector<Shape> InferShapes(const std::vector<Shape>& inputs) = 0;
  virtual std::vector<ParameterSpec> Parameters() const { return {}; }
  virtual std::vector<StateSpec> States() const { return {}; }
  virtual std::vector<SavedNeed> SavedNeeds() const { return {}; }
  virtual int64_t Macs() const {
    return 0;
  }  // multiply-adds of forward, for the whole batch inferred
  // Of the products that parameter 0's gradient sums (one for each output position and tap of the
  // kernel), the share whose input is a pixel and not padding.
  virtual double ShareInside() const { return 1.0; }
  // Scratch that Forward or Backward asks the backend for; of the batch inferred.
  virtual int64_t WorkspaceBytes(Backend& backend, DType dtype, Pass pass) const;
  // Whether output 0 may take the place of this input.
  virtual bool ForwardInPlace(int /*input*/) const { return false; }
  // Output 0 is input 0 under another shape: neither Forward nor Backward is ever called.
  virtual bool IsView() const { return false; }
  virtual GradientFlow Flow(int input) const;
  virtual bool IsLoss() const { return false; }  // outputs F32 [N], starts the backward pass
  // Output 0 is made from the inputs at little cost, with nothing but states of the whole batch:
  // instead of keeping it for backward, Forward may run again.
  virtual bool CheapToRebuild() const { return false; }
  // The same layer with a ReLU behind it, in one pass over memory; nullptr where there is none.
  virtual std::unique_ptr<Layer> WithRelu() const { return nullptr; }
  // Whether Forward in training does what ForwardContext says of an addend, and of a ReLU.
  virtual bool TakesAddend() const { return false; }
  virtual bool TakesRelu() const { return false; }

  // Samples of a batch do not meet in most layers, so a batch may go through them in slices, in any
  // order. Where they do (batch norm), they meet in sums only, which a layer that Gathers()
  // collects in states of its own: GatherForward of every slice, FinishForward once, then Forward
  // of every slice; backward alike. Finish* gets no inputs, outputs or gradients of them.
  virtual bool Gathers() const { return false; }
  virtual void GatherForward(ForwardContext&) const {}
  virtual void FinishForward(ForwardContext&) const {}
  virtual void GatherBackward(BackwardContext&) const {}
  virtual void FinishBackward(BackwardContext&) const {}

  // May be called again in the backward pass, to rebuild a value that was not kept; then without
  // states but those of the whole batch.
  virtual void Forward(ForwardContext& context) const = 0;
  virtual void Backward(BackwardContext& context) const = 0;
};

}  // namespace encke
