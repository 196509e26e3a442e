// Passes over memory that one step makes for several: at the end of a residual block the sum and
// the ReLU in the pass of the batch norm before them; in backward, what lies behind a ReLU in the
// pass that adds up the ReLU's gradient. And tensors that need not be read.
//
// Memory stays as planned: what is no longer written keeps its place. So a step can do another's
// work only where it finds the tensors of both, which is why the later one must work in place, and
// nothing may come between them but steps that leave their tensors alone.
#include <algorithm>
#include <initializer_list>

#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

using Kind = PlanStep::Kind;

bool IsType(const Graph& graph, int node, const char* type) {
  return node >= 0 && graph.nodes[node].layer->type() == type;
}

class Fusion {
 public:
  Fusion(const Graph& graph, Plan* plan) : graph_(graph), plan_(*plan) {}

  void Run() {
    for (const PlanSection& section : plan_.sections) {
      end_ = section.end;
      for (int s = section.first; s < end_; ++s) {
        FuseForward(s);
        FuseBackward(s);
        TellFromInput(&plan_.steps[s]);
      }
    }
  }

 private:
  bool KeptRaw(int value) const {
    return std::any_of(plan_.saved.begin(), plan_.saved.end(), [&](const SavedValue& saved) {
      return saved.value == value && saved.keep == Keep::RAW;
    });
  }

  // Whether a step keeps, or finds, something else than these buffers hold.
  bool LeavesAlone(const PlanStep& step, std::initializer_list<int> buffers) const {
    const bool keeps = step.kind == Kind::STORE;
    const bool finds = step.kind == Kind::FETCH && plan_.saved[step.saved].keep == Keep::RAW;
    const bool touches = std::find(buffers.begin(), buffers.end(), step.buffer) != buffers.end();
    return (keeps || finds) && !touches;
  }

  // The first step behind s that does not leave the buffers alone, -1: none in the section.
  int Behind(int s, std::initializer_list<int> buffers) const {
    for (int t = s + 1; t < end_; ++t) {
      if (!LeavesAlone(plan_.steps[t], buffers)) return t;
    }
    return -1;
  }

  // Whether step t is such a node's, and nobody else reads what step s makes.
  bool ReadsAlone(int t, const char* type, int s) const {
    if (t < 0 || plan_.steps[t].kind != Kind::FORWARD) return false;
    const int node = plan_.steps[t].node, value = graph_.nodes[plan_.steps[s].node].outputs[0];
    return IsType(graph_, node, type) && OnlyReader(graph_, value, node);
  }

  void FuseForward(int s) {
    PlanStep& step = plan_.steps[s];
    if (step.kind != Kind::FORWARD || step.fused) return;
    const Layer& layer = *graph_.nodes[step.node].layer;
    int last = s;
    if (layer.TakesAddend() && plan_.options.training) last = FuseSum(s);
    if (last < 0 || (last == s && !layer.TakesRelu())) return;
    const int result = plan_.steps[last].outputs[0];
    const int relu = Behind(last, {result});
    if (!ReadsAlone(relu, "relu", last) || plan_.steps[relu].outputs[0] != result) return;
    step.result = result;
    step.relu = plan_.steps[relu].fused = true;
  }

  // The step of the sum that step s can make, which is the next one; -1: none.
  int FuseSum(int s) {
    PlanStep& step = plan_.steps[s];
    const int own = step.outputs[0], next = Behind(s, {own});
    if (!ReadsAlone(next, "add", s)) return -1;
    PlanStep& sum = plan_.steps[next];
    if (sum.inputs.size() != 2) return -1;
    const int addend = sum.inputs[sum.inputs[0] == own ? 1 : 0], result = sum.outputs[0];
    if (addend == own || (result != own && result != addend)) return -1;
    if (Behind(s, {own, result}) != next) return -1;
    step.addend = addend;
    step.result = result;
    sum.fused = true;
    return next;
  }

  void FuseBackward(int s) {
    PlanStep& step = plan_.steps[s];
    if (step.kind != Kind::ADD_GRADIENTS || !KeptRaw(step.value)) return;
    const int next = Behind(s, {step.buffer});
    if (next < 0 || plan_.steps[next].kind != Kind::BACKWARD) return;
    PlanStep& relu = plan_.steps[next];
    const Node& node = graph_.nodes[relu.node];
    const bool reads = node.layer->type() == "relu" && node.outputs[0] == step.value &&
                       relu.output_gradients[0] == step.buffer && relu.outputs[0] >= 0;
    if (!reads || relu.input_gradients[0] != step.buffer) return;
    step.gate = relu.outputs[0];
    relu.fused = true;
  }

  // What an output's sign would tell is told by an input that is at hand in any case.
  void TellFromInput(PlanStep* step) {
    if (step->kind != Kind::BACKWARD && step->kind != Kind::GATHER_BACKWARD) return;
    const Node& node = graph_.nodes[step->node];
    if (!node.layer->CheapToRebuild()) return;
    for (const SavedNeed& need : node.layer->SavedNeeds()) {
      const bool mask = need.of == SavedNeed::Of::OUTPUT && need.form == SavedNeed::Form::MASK;
      const bool told =
          mask && step->inputs[0] >= 0 && KeptRaw(CanonicalValue(graph_, node.inputs[0]));
      if (told) step->outputs[need.index] = -1;
    }
  }

  const Graph& graph_;
  Plan& plan_;
  int end_ = 0;  // of the section
};

}  // namespace

void FusePasses(const Graph& graph, Plan* plan) { Fusion(graph, plan).Run(); }

}  // namespace encke::internal
