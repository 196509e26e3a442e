#include "engine/config/network_builder.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "engine/config/layer_options.h"
#include "engine/config/merge.h"
#include "layers/add.h"
#include "layers/concat.h"
#include "layers/flatten.h"
#include "layers/relu.h"
#include "layers/softmax_cross_entropy.h"

namespace encke {
namespace {

using Steps = google::protobuf::RepeatedPtrField<config::Step>;
using LayerPointer = std::unique_ptr<Layer>;

// The value behind a step that could not be placed: steps that follow are checked as far as they
// can be without shapes.
constexpr int kUnknown = -1;

// What is known around a list of steps.
struct Scope {
  std::string path;    // of the message that holds the list: "network.block[0]"
  std::string prefix;  // of the names inside: "layer1.0."
  BlockScope block;
  std::vector<std::string> open_blocks;  // being placed, to find blocks that use themselves
};

// A step where it is placed.
struct Site {
  const Scope& scope;
  std::string path;  // of the step: "network.step[3]"
  std::string name;  // full
  bool named;        // by the config, not by a number
  int input;
};

// "layer1.0.conv2" -> "layer1.0.bn2"; "stem" -> "stem.bn".
std::string SiblingName(const std::string& name, const std::string& type) {
  const size_t last = name.find_last_of('.') + 1;  // 0 where there is none
  const size_t found = name.find("conv", last);
  if (found == std::string::npos) return name + "." + type;
  return name.substr(0, found) + type + name.substr(found + 4);
}

// The type's name in the config: "conv", "batch_norm".
std::string KindName(const config::Step& step) {
  const auto* field = config::Step::descriptor()->FindFieldByNumber(step.kind_case());
  return field == nullptr ? "step" : field->name();
}

class NetworkBuilder {
 public:
  NetworkBuilder(const ConfigFile& file, Diagnostics* diagnostics)
      : file_(file),
        network_(file.config().network()),
        diagnostics_(diagnostics),
        graph_(network_.name(), InputShape(), network_.classes()) {}

  std::optional<Graph> Build() {
    CheckFrame();
    const int input = failed_ ? kUnknown : graph_.input();
    const int logits = PlaceSteps(network_.step(), {"network", "", {}, {}}, input);
    CheckLogits(logits);
    if (failed_) return std::nullopt;
    SoftmaxCrossEntropyOptions loss;
    loss.label_smoothing = file_.config().training().label_smoothing();
    return graph_.Finish(logits, NewSoftmaxCrossEntropy(loss));
  }

 private:
  Shape InputShape() const {
    const config::Input& input = network_.input();
    return {1, input.height(), input.width(), input.channels()};
  }

  // One message for each field: a block's mistake shows once, however often the block is used.
  void Report(const std::string& field, const std::string& message, const std::string& hint = "") {
    failed_ = true;
    if (!reported_.insert(field).second) return;
    diagnostics_->Add(file_.SourceOf(field), message, hint);
  }

  void CheckFrame() {
    const config::Input& input = network_.input();
    if (input.height() < 1) Report("network.input.height", "the input's height is missing");
    if (input.width() < 1) Report("network.input.width", "the input's width is missing");
    if (input.channels() < 1) Report("network.input.channels", "the input needs channels");
    if (network_.classes() < 2) {
      Report("network.classes", "'classes' is missing or below 2", "give network { classes: 10 }");
    }
    if (network_.step().empty()) Report("network.step", "the network has no steps");
    std::set<std::string> names;
    for (int i = 0; i < network_.block_size(); ++i) {
      if (names.insert(network_.block(i).name()).second) continue;
      Report(StrCat("network.block[", i, "].name"),
             "two blocks are called '" + network_.block(i).name() + "'");
    }
  }

  void CheckLogits(int logits) {
    if (failed_ || logits == kUnknown) return;
    const Shape& shape = graph_.shape(logits);
    if (shape == Shape::Vector(network_.classes())) return;
    Report(StrCat("network.step[", network_.step_size() - 1, "]"),
           StrCat("the last step yields ", shape.ToString(), " (NxCxHxW), but there are ",
                  network_.classes(), " classes"),
           "end with a step { fc { } }");
  }

  // ------------------------------------------------------------------------------------- placing

  int PlaceSteps(const Steps& steps, const Scope& scope, int input) {
    int value = input;
    for (int i = 0; i < steps.size(); ++i) {
      value = PlaceStep(steps.Get(i), StrCat(scope.path, ".step[", i, "]"), scope, value);
    }
    return value;
  }

  int PlaceStep(const config::Step& step, const std::string& path, const Scope& scope, int input) {
    const Site site{scope, path, NameOf(step, scope), step.has_name(), input};
    try {
      return PlaceKind(step, site);
    } catch (const OptionMistake& mistake) {
      Report(path + "." + KindName(step) + "." + mistake.field, mistake.message, mistake.hint);
      return kUnknown;
    }
  }

  int PlaceKind(const config::Step& step, const Site& site) {
    switch (step.kind_case()) {
      case config::Step::kConv:
        return PlaceConv(step.conv(), site);
      case config::Step::kBatchNorm:
        return Add(site, site.name, NewBatchNorm(BatchNormOptionsOf(step.batch_norm(), network_)),
                   {site.input});
      case config::Step::kRelu:
        return Add(site, site.name, NewRelu(), {site.input});
      case config::Step::kPool:
        return PlacePool(step.pool(), site);
      case config::Step::kFc:
        return PlaceFullyConnected(step.fc(), site);
      case config::Step::kDropout:
        return Add(site, site.name, NewDropout(DropoutOptionsOf(step.dropout())), {site.input});
      case config::Step::kLrn:
        return Add(site, site.name, NewLrn(LrnOptionsOf(step.lrn())), {site.input});
      case config::Step::kFlatten:
        return Add(site, site.name, NewFlatten(), {site.input});
      case config::Step::kBranches:
        return PlaceBranches(step.branches(), site);
      case config::Step::kUse:
        return PlaceUse(step.use(), site);
      case config::Step::kShortcut:
        Report(site.path, "a shortcut stands alone in a branch of branches { join: ADD }");
        return kUnknown;
      case config::Step::KIND_NOT_SET:
        Report(site.path, "the step does nothing", "give it one of conv, fc, pool, use, ...");
        return kUnknown;
    }
    return kUnknown;
  }

  // The step's own name, or its type (for `use` the block's name) and a number, with prefix.
  std::string NameOf(const config::Step& step, const Scope& scope) {
    if (step.has_name()) return scope.prefix + step.name();
    std::string type = KindName(step);
    if (step.has_use()) type = step.use().block();
    if (step.has_shortcut()) return scope.prefix + "downsample";
    if (step.has_branches()) type = step.branches().join() == config::Branches::ADD ? "add" : "cat";
    std::string name;
    do {
      name = StrCat(scope.prefix, type, ++numbers_[scope.prefix + type]);
    } while (names_.count(name) > 0);
    return name;
  }

  int Add(const Site& site, const std::string& name, LayerPointer layer,
          const std::vector<int>& inputs) {
    if (!names_.insert(name).second) {
      Report(site.path + ".name", "two steps are called '" + name + "'");
      return kUnknown;
    }
    if (std::count(inputs.begin(), inputs.end(), kUnknown) > 0) return kUnknown;
    try {
      const std::string place = file_.SourceOf(site.path).Place();
      return graph_.Add(name, place, std::move(layer), inputs);
    } catch (const Error& error) {
      Report(site.path, error.message(), error.hint());
      return kUnknown;
    }
  }

  int PlaceConv(const config::Conv& step, const Site& site) {
    config::Conv conv = network_.conv();
    MergeMessage(step, &conv);
    const ConvolutionOptions options = ConvolutionOptionsOf(conv, network_, site.scope.block);
    const std::string name = conv.unit() ? site.name + ".conv" : site.name;
    int value = Add(site, name, NewConvolution(options), {site.input});
    if (conv.bn()) {
      const std::string bn =
          conv.has_bn_name() ? site.scope.prefix + conv.bn_name() : SiblingName(name, "bn");
      value = Add(site, bn, NewBatchNorm(BatchNormOptionsOf({}, network_)), {value});
    }
    return conv.relu() ? Add(site, SiblingName(name, "relu"), NewRelu(), {value}) : value;
  }

  int PlacePool(const config::Pool& pool, const Site& site) {
    if (pool.kind() == config::Pool::MAX) {
      return Add(site, site.name, NewMaxPool(MaxPoolOptionsOf(pool)), {site.input});
    }
    const AveragePoolOptions options = AveragePoolOptionsOf(pool);
    const bool identity = site.input != kUnknown &&
                          options.output_h == graph_.shape(site.input).h &&
                          options.output_w == graph_.shape(site.input).w;
    if (identity) return site.input;
    return Add(site, site.name, NewAveragePool(options), {site.input});
  }

  int PlaceFullyConnected(const config::FullyConnected& fc, const Site& site) {
    const FullyConnectedOptions options = FullyConnectedOptionsOf(fc, network_);
    const int value = Add(site, site.name, NewFullyConnected(options), {site.input});
    return fc.relu() ? Add(site, site.name + ".relu", NewRelu(), {value}) : value;
  }

  // ---------------------------------------------------------------------------- blocks, branches

  int PlaceUse(const config::Use& use, const Site& site) {
    const std::string path = site.path + ".use.";
    const int index = FindBlock(use.block(), path + "block");
    if (index < 0) return kUnknown;
    Scope inner{StrCat("network.block[", index, "]"), "", {}, site.scope.open_blocks};
    const auto& open = inner.open_blocks;
    if (std::find(open.begin(), open.end(), use.block()) != open.end()) {
      Report(path + "block", "block '" + use.block() + "' uses itself");
      return kUnknown;
    }
    inner.open_blocks.push_back(use.block());
    for (const auto& [field, value] :
         {std::pair{"repeat", use.has_repeat() ? use.repeat() : 1}, std::pair{"width", use.width()},
          std::pair{"stride", use.stride()}}) {
      if (value < 1) throw OptionMistake{field, StrCat("'", field, "' must be at least 1"), ""};
    }
    return PlaceInstances(use, index, site, inner);
  }

  int PlaceInstances(const config::Use& use, int block, const Site& site, Scope scope) {
    int value = site.input;
    const int instances = use.has_repeat() ? use.repeat() : 1;
    for (int i = 0; i < instances; ++i) {
      scope.prefix = site.name + (use.has_repeat() ? StrCat(".", use.first() + i, ".") : ".");
      scope.block = {true, use.width(), i == 0 ? use.stride() : 1};
      value = PlaceSteps(network_.block(block).step(), scope, value);
    }
    return value;
  }

  int FindBlock(const std::string& name, const std::string& path) {
    std::vector<std::string> names;
    for (int i = 0; i < network_.block_size(); ++i) {
      if (network_.block(i).name() == name) return i;
      names.push_back(network_.block(i).name());
    }
    Report(path, "there is no block '" + name + "'" + DidYouMean(name, names));
    return -1;
  }

  static bool IsShortcut(const config::Branch& branch) {
    return branch.step_size() == 1 && branch.step(0).has_shortcut() && branch.conv().empty();
  }

  int PlaceBranches(const config::Branches& branches, const Site& site) {
    if (branches.branch_size() < 2) {
      throw OptionMistake{"branch", "a join needs at least two branches", ""};
    }
    std::vector<int> ends(branches.branch_size(), kUnknown);
    int target = kUnknown;  // what shortcuts have to match
    for (int i = 0; i < branches.branch_size(); ++i) {
      if (IsShortcut(branches.branch(i))) continue;
      ends[i] = PlaceBranch(branches.branch(i), BranchScope(branches, i, site), site.input);
      if (target == kUnknown) target = ends[i];
    }
    for (int i = 0; i < branches.branch_size(); ++i) {
      if (!IsShortcut(branches.branch(i))) continue;
      ends[i] = PlaceShortcut(branches, i, site, target);
    }
    const bool add = branches.join() == config::Branches::ADD;
    const int value = Add(site, site.name, add ? NewAdd() : NewConcat(), ends);
    return branches.relu() ? Add(site, site.name + ".relu", NewRelu(), {value}) : value;
  }

  int PlaceBranch(const config::Branch& branch, const Scope& scope, int input) {
    int value = PlaceSteps(branch.step(), scope, input);
    for (int i = 0; i < branch.conv_size(); ++i) {
      const std::string name = StrCat(scope.prefix, branch.step_size() + i);
      const Site site{scope, StrCat(scope.path, ".conv[", i, "]"), name, true, value};
      try {
        value = PlaceConv(branch.conv(i), site);
      } catch (const OptionMistake& mistake) {
        Report(site.path + "." + mistake.field, mistake.message, mistake.hint);
        value = kUnknown;
      }
    }
    return value;
  }

  static Scope BranchScope(const config::Branches& branches, int index, const Site& site) {
    Scope scope = site.scope;
    const std::string& name = branches.branch(index).name();
    scope.path = StrCat(site.path, ".branches.branch[", index, "]");
    if (site.named) scope.prefix = site.name + ".";
    if (!name.empty()) scope.prefix += name + ".";
    return scope;
  }

  // The identity where the shape stays, otherwise a 1x1 convolution and a batch norm.
  int PlaceShortcut(const config::Branches& branches, int index, const Site& join, int target) {
    const Scope scope = BranchScope(branches, index, join);
    const config::Step& step = branches.branch(index).step(0);
    const Site site{scope, scope.path + ".step[0]", NameOf(step, scope), step.has_name(),
                    join.input};
    if (branches.join() != config::Branches::ADD) {
      Report(site.path, "a shortcut goes with join: ADD only");
      return kUnknown;
    }
    if (target == kUnknown || site.input == kUnknown) return kUnknown;
    const Shape& from = graph_.shape(site.input);
    const Shape& to = graph_.shape(target);
    if (from == to) return site.input;
    ConvolutionOptions options;
    options.out_channels = to.c;
    options.window.stride_h = (from.h + to.h - 1) / to.h;
    options.window.stride_w = (from.w + to.w - 1) / to.w;
    const int conv = Add(site, site.name + ".0", NewConvolution(options), {site.input});
    return Add(site, site.name + ".1", NewBatchNorm(BatchNormOptionsOf({}, network_)), {conv});
  }

  const ConfigFile& file_;
  const config::Network& network_;
  Diagnostics* diagnostics_;
  GraphBuilder graph_;
  bool failed_ = false;
  std::set<std::string> reported_;      // fields
  std::set<std::string> names_;         // of nodes
  std::map<std::string, int> numbers_;  // last number given, by prefix and type
};

}  // namespace

std::optional<Graph> BuildNetwork(const ConfigFile& file, Diagnostics* diagnostics) {
  return NetworkBuilder(file, diagnostics).Build();
}

}  // namespace encke
