#include "engine/train/options.h"

#include <algorithm>
#include <thread>

#include "engine/core/units.h"

namespace encke {
namespace {

constexpr int kEvaluationPrefetch = 1;  // keeps the workers busy; memory counts

// Batches that evaluation's loader has ready: none where training's has none, either.
int EvaluationPrefetch(const config::Config& config) {
  return std::min(config.data().prefetch(), kEvaluationPrefetch);
}

// Samples of a slice, at least: each reads all weights, which takes time where fc layers are large.
constexpr int64_t kLeastSlice = 2;
constexpr int kSmallImage = 64;  // pixels a side, up to which one worker keeps up with training

DatasetKind KindOf(config::Data::Kind kind) {
  switch (kind) {
    case config::Data::SYNTHETIC:
      return DatasetKind::SYNTHETIC;
    case config::Data::IDX:
      return DatasetKind::IDX;
    case config::Data::CIFAR:
      return DatasetKind::CIFAR;
    case config::Data::FOLDER:
      return DatasetKind::FOLDER;
    case config::Data::LIST:
      return DatasetKind::LIST;
  }
  return DatasetKind::SYNTHETIC;
}

ErrorRule RuleOf(config::Activations::Rule rule) {
  switch (rule) {
    case config::Activations::VARIANCE:
      return ErrorRule::VARIANCE;
    case config::Activations::COMET:
      return ErrorRule::COMET;
    case config::Activations::ACGC:
      return ErrorRule::ACGC;
    case config::Activations::FIXED:
      return ErrorRule::FIXED;
  }
  return ErrorRule::VARIANCE;
}

int Workers(const config::Config& config) {
  if (config.data().workers() > 0) return config.data().workers();
  const config::Input& input = config.network().input();
  if (std::max(input.height(), input.width()) <= kSmallImage) return 1;
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

AugmentOptions MakeAugmentOptions(const config::Augment& augment) {
  AugmentOptions options;
  options.crop_padding = augment.crop_padding();
  options.flip = augment.flip();
  options.random_resized_crop = augment.has_random_resized_crop();
  options.min_area = augment.random_resized_crop().min_area();
  options.max_area = augment.random_resized_crop().max_area();
  options.min_aspect = augment.random_resized_crop().min_aspect();
  options.max_aspect = augment.random_resized_crop().max_aspect();
  options.brightness = augment.color_jitter().brightness();
  options.contrast = augment.color_jitter().contrast();
  options.saturation = augment.color_jitter().saturation();
  return options;
}

ControllerOptions MakeControllerOptions(const config::Activations& activations) {
  ControllerOptions options;
  options.rule = RuleOf(activations.rule());
  options.tolerance = activations.tolerance();
  options.fixed_bound = activations.fixed_bound();
  options.channel_std_bound = activations.channel_std_bound();
  options.inactive_std_bound = activations.inactive_std_bound();
  options.rms_bound = activations.rms_bound();
  options.warmup = activations.warmup();
  options.interval = activations.interval();
  return options;
}

Tier TierOf(config::Policy::Keep keep) {
  switch (keep) {
    case config::Policy::CODEC:
      return Tier::MEMORY;
    case config::Policy::OFFLOAD:
      return Tier::OFFLOADED;
    case config::Policy::RAW:
      return Tier::IN_PLACE;
  }
  return Tier::MEMORY;
}

// What is said of all, where nothing is said of this kind.
SavedPolicy MakePolicy(const config::Activations& all, const config::Policy& kind) {
  return PolicyOf(kind.has_codec() ? kind.codec() : all.codec(),
                  TierOf(kind.has_keep() ? kind.keep() : all.keep()));
}

std::array<SavedPolicy, kSavedKinds> MakePolicies(const config::Activations& activations) {
  std::array<SavedPolicy, kSavedKinds> policies;
  policies[static_cast<int>(SavedKind::RELU)] = MakePolicy(activations, activations.relu());
  policies[static_cast<int>(SavedKind::NORM_INPUT)] =
      MakePolicy(activations, activations.norm_input());
  policies[static_cast<int>(SavedKind::VALUE)] = MakePolicy(activations, activations.value());
  return policies;
}

int64_t PoolLimit(const config::Activations& activations) {
  return activations.has_pool_limit() ? ParseBytes(activations.pool_limit()) : 0;
}

}  // namespace

DatasetOptions MakeDatasetOptions(const config::Config& config, Split split) {
  const config::Data& data = config.data();
  const config::Input& input = config.network().input();
  DatasetOptions options;
  options.kind = KindOf(data.kind());
  options.train = data.train();
  options.test = data.test();
  options.train_prefix = data.train_prefix();
  options.test_prefix = data.test_prefix();
  options.test_fraction = data.test_fraction();
  options.limit = split == Split::TRAIN ? data.train_size() : data.test_size();
  options.channels = input.channels();
  options.height = input.height();
  options.width = input.width();
  options.classes = config.network().classes();
  options.seed = config.training().seed();
  return options;
}

LoaderOptions MakeLoaderOptions(const config::Config& config, Split split) {
  const config::Training& training = config.training();
  const config::Input& input = config.network().input();
  const bool train = split == Split::TRAIN;
  LoaderOptions options;
  options.batch =
      !train && training.has_evaluation_batch() ? training.evaluation_batch() : training.batch();
  options.height = input.height();
  options.width = input.width();
  options.channels = input.channels();
  options.shuffle = train;
  options.augment = train;
  options.drop_last = train && training.drop_last();
  options.augmentation = MakeAugmentOptions(config.data().augment());
  options.resize_shorter = config.data().resize_shorter();
  options.workers = Workers(config);
  options.prefetch = train ? config.data().prefetch() : EvaluationPrefetch(config);
  options.skip_broken = config.data().skip_broken();
  options.seed = training.seed();
  return options;
}

PlanOptions MakePlanOptions(const config::Config& config, const Backend& backend) {
  const config::Training& training = config.training();
  PlanOptions options;
  options.compress = config.activations().mode() == config::Activations::ENCKE;
  options.eliminate_raw = config.activations().baseline() == config::Activations::PLANNED;
  options.recompute_segments = config.activations().recompute();
  options.rematerialize = config.activations().rematerialize();
  options.derive = config.activations().derive();
  const int64_t slice = config.activations().slice();
  options.least_slice = slice > 0 ? slice : kLeastSlice;
  options.slice_bytes = slice > 0 ? 1 : options.compress ? backend.SliceBytes() : 0;
  options.larger_slices = slice == 0 && backend.LargerSlicesAreFaster();
  options.policies = MakePolicies(config.activations());
  const bool dense = std::all_of(options.policies.begin(), options.policies.end(),
                                 [](const SavedPolicy& policy) { return policy.codec == "dense"; });
  if (dense) options.assumed_ratio *= kDenseOverFast;
  if (config.activations().spill()) options.spill_above = PoolLimit(config.activations());
  options.probe =
      config.activations().probe() && config.activations().rule() == config::Activations::VARIANCE;
  options.compute = training.precision() == config::Training::BF16 ? DType::BF16 : DType::F32;
  options.optimizer_copies =
      (config.optimizer().momentum() != 0 ? 1.0 : 0.0) + (training.ema() > 0 ? 1.0 : 0.0);
  // What training's loader has ready, beside the batch in use or, at least as many, evaluation's.
  const int64_t evaluation_batch =
      training.has_evaluation_batch() ? training.evaluation_batch() : training.batch();
  const int64_t evaluated = (EvaluationPrefetch(config) + 1) * evaluation_batch;
  options.batches_held =
      config.data().prefetch() + (evaluated + training.batch() - 1) / training.batch();
  return options;
}

StoreOptions MakeStoreOptions(const config::Activations& activations) {
  StoreOptions options;
  if (activations.mode() != config::Activations::ENCKE) return options;
  const auto policies = MakePolicies(activations);
  options.offload = std::any_of(policies.begin(), policies.end(), [](const SavedPolicy& policy) {
    return policy.tier == Tier::OFFLOADED;
  });
  options.offload_folder = activations.offload_folder();
  options.limit_bytes = PoolLimit(activations);
  options.spill = activations.spill();
  return options;
}

ExecutorOptions MakeExecutorOptions(const config::Config& config, const Backend& backend) {
  ExecutorOptions options;
  options.store = MakeStoreOptions(config.activations());
  options.plan = MakePlanOptions(config, backend);
  options.controller = MakeControllerOptions(config.activations());
  if (config.data().mean_size() > 0)
    options.mean.assign(config.data().mean().begin(), config.data().mean().end());
  if (config.data().std_size() > 0)
    options.std.assign(config.data().std().begin(), config.data().std().end());
  options.seed = config.training().seed();
  return options;
}

BackendOptions MakeBackendOptions(const config::Config& config) {
  BackendOptions options;
  options.tf32 = config.training().tf32();
  return options;
}

OptimizerOptions MakeOptimizerOptions(const config::Optimizer& optimizer) {
  OptimizerOptions options;
  options.momentum = optimizer.momentum();
  options.nesterov = optimizer.nesterov();
  options.weight_decay = optimizer.weight_decay();
  options.decay_bias_and_norm = optimizer.decay_bias_and_norm();
  options.clip_norm = optimizer.clip_norm();
  return options;
}

int64_t MemoryLimit(const config::Config& config) {
  const std::string& text = config.training().memory_limit();
  return text.empty() ? 0 : ParseBytes(text);
}

std::string RunName(const config::Config& config) {
  if (!config.name().empty()) return config.name();
  return config.network().name().empty() ? "run" : config.network().name();
}

}  // namespace encke
