#include "engine/train/checkpoint.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/train/atomic_file.h"

namespace encke {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const char* const kStateKey = "encke";
constexpr int64_t kPieceElements = 1 << 18;  // staged at a time

// Samples staged at a time, at least one.
int64_t PieceSamples(const Shape& shape) {
  return std::max<int64_t>(1, kPieceElements / std::max<int64_t>(1, shape.sample()));
}

// One sample from n,h,w,c order to n,c,h,w, or back.
void ToChannelsFirst(const Shape& shape, const float* from, float* to) {
  const int64_t pixels = shape.h * shape.w;
  for (int64_t c = 0; c < shape.c; ++c)
    for (int64_t p = 0; p < pixels; ++p) to[c * pixels + p] = from[p * shape.c + c];
}

void ToChannelsLast(const Shape& shape, const float* from, float* to) {
  const int64_t pixels = shape.h * shape.w;
  for (int64_t c = 0; c < shape.c; ++c)
    for (int64_t p = 0; p < pixels; ++p) to[p * shape.c + c] = from[c * pixels + p];
}

// Calls body(samples of the tensor, staging room for as many) over all of it.
void ForPieces(const Tensor& tensor,
               const std::function<void(const Tensor&, std::vector<float>&)>& body) {
  const int64_t samples = tensor.shape().n, step = PieceSamples(tensor.shape());
  std::vector<float> staged;
  for (int64_t first = 0; first < samples; first += step) {
    const Tensor piece = tensor.Slice(first, std::min(step, samples - first));
    staged.resize(static_cast<size_t>(piece.elements()));
    body(piece, staged);
  }
}

void WriteTensor(const Tensor& tensor, Backend& backend, const SafetensorsWriter::Sink& sink) {
  const int64_t sample = tensor.shape().sample();
  std::vector<float> ordered;
  ForPieces(tensor, [&](const Tensor& piece, std::vector<float>& staged) {
    backend.CopyToHost(piece, staged.data());
    ordered.resize(staged.size());
    for (int64_t i = 0; i < piece.elements(); i += sample)
      ToChannelsFirst(piece.shape(), &staged[i], &ordered[i]);
    sink(ordered.data(), piece.bytes());
  });
}

void ReadTensor(const SafetensorsReader& reader, const CheckpointTensor& target, Backend& backend) {
  const int64_t sample = target.tensor.shape().sample();
  std::vector<float> ordered;
  int64_t offset = 0;
  ForPieces(target.tensor, [&](const Tensor& piece, std::vector<float>& staged) {
    reader.Read(target.name, offset, piece.bytes(), staged.data());
    offset += piece.bytes();
    ordered.resize(staged.size());
    for (int64_t i = 0; i < piece.elements(); i += sample)
      ToChannelsLast(piece.shape(), &staged[i], &ordered[i]);
    backend.CopyFromHost(ordered.data(), piece);
  });
}

std::string StateText(const TrainingState& state) {
  const json object = {{"version", 1},
                       {"iteration", state.iteration},
                       {"epoch", state.epoch},
                       {"samples_per_epoch", state.samples_per_epoch},
                       {"best_top1", state.best_top1},
                       {"evaluation_pending", state.evaluation_pending},
                       {"average_updates", state.average_updates},
                       {"audits", state.audits},
                       {"controller", state.controller},
                       {"codings", state.codings},
                       {"codecs", state.codecs},
                       {"assumed_ratio", state.assumed_ratio},
                       {"meters", state.meters},
                       {"config", state.config}};
  return object.dump();
}

TrainingState ParseState(const std::string& text, const std::string& path) {
  try {
    const json object = json::parse(text);
    if (object.at("version") != 1)
      throw Error(ErrorKind::DATA, "the checkpoint is of a newer version of Encke", path);
    TrainingState state;
    object.at("iteration").get_to(state.iteration);
    object.at("epoch").get_to(state.epoch);
    object.at("samples_per_epoch").get_to(state.samples_per_epoch);
    object.at("best_top1").get_to(state.best_top1);
    object.at("evaluation_pending").get_to(state.evaluation_pending);
    object.at("average_updates").get_to(state.average_updates);
    object.at("audits").get_to(state.audits);
    object.at("controller").get_to(state.controller);
    state.codings = object.value("codings", state.codings);  // older files have none
    state.codecs = object.value("codecs", state.codecs);
    state.assumed_ratio = object.value("assumed_ratio", state.assumed_ratio);
    object.at("meters").get_to(state.meters);
    object.at("config").get_to(state.config);
    return state;
  } catch (const json::exception& error) {
    throw Error(ErrorKind::DATA, StrCat("the training state is damaged: ", error.what()), path);
  }
}

std::string Extents(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t extent : shape) text += StrCat(text.size() > 1 ? ", " : "", extent);
  return text + "]";
}

// What keeps the file from filling `target`; "" when nothing does.
std::string Mismatch(const SafetensorsReader& reader, const CheckpointTensor& target) {
  const auto found = reader.tensors().find(target.name);
  if (found == reader.tensors().end())
    return StrCat(target.name, " ", Extents(target.shape), " is not in the checkpoint");
  if (found->second.dtype != "F32")
    return StrCat(target.name, " has the dtype ", found->second.dtype,
                  " in the checkpoint, not F32");
  if (found->second.shape != target.shape)
    return StrCat(target.name, " is ", Extents(target.shape), " in the network, ",
                  Extents(found->second.shape), " in the checkpoint");
  return "";
}

// "best.safetensors, epoch_0003.safetensors", the newest at most three beside this one; "" where
// there are none.
std::string OthersBeside(const std::string& path) {
  constexpr size_t kNamed = 3;
  std::vector<std::string> names;
  std::error_code failure;
  const fs::path folder = fs::path(path).parent_path();
  fs::directory_iterator entry(folder.empty() ? "." : folder, failure);
  for (; !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
    const fs::path other = entry->path().filename();
    if (other.extension() == ".safetensors" && other != fs::path(path).filename())
      names.push_back(other.string());
  }
  std::sort(names.rbegin(), names.rend());
  return Joined(names, kNamed);
}

SafetensorsReader Opened(const std::string& path) {
  try {
    return SafetensorsReader(path);
  } catch (const Error& error) {
    const std::string others = OthersBeside(path);
    if (!error.hint().empty() || others.empty()) throw;
    throw Error(error.kind(), error.message(), error.place(), "beside it there are " + others);
  }
}

}  // namespace

void SaveCheckpoint(const std::string& path, const std::vector<CheckpointTensor>& tensors,
                    const TrainingState& state, Backend& backend) {
  SafetensorsWriter writer;
  writer.SetMetadata("format", "pt");  // what other tools expect of tensors in PyTorch's layouts
  writer.SetMetadata(kStateKey, StateText(state));
  for (const CheckpointTensor& tensor : tensors)
    writer.Add(tensor.name, "F32", tensor.shape,
               [&tensor, &backend](const SafetensorsWriter::Sink& sink) {
                 WriteTensor(tensor.tensor, backend, sink);
               });
  writer.Write(path);
}

Checkpoint::Checkpoint(const std::string& path) : reader_(Opened(path)) {
  const auto found = reader_.metadata().find(kStateKey);
  if (found == reader_.metadata().end()) return;
  has_state_ = true;
  state_ = ParseState(found->second, path);
}

void Checkpoint::Load(const std::vector<CheckpointTensor>& tensors, Backend& backend) const {
  constexpr int kNamed = 3;
  std::string differences;
  int count = 0;
  for (const CheckpointTensor& tensor : tensors) {
    const std::string mismatch = Mismatch(reader_, tensor);
    if (!mismatch.empty() && ++count <= kNamed) differences += "\n  " + mismatch;
  }
  if (count > kNamed) differences += StrCat("\n  and ", count - kNamed, " more");
  if (count > 0)
    throw Error(ErrorKind::CONFIG, "the checkpoint is of another network:" + differences, path(),
                "use the config that the checkpoint was made with");
  for (const CheckpointTensor& tensor : tensors) ReadTensor(reader_, tensor, backend);
}

std::string FindCheckpoint(const std::string& resume) {
  std::error_code ignored;
  const std::string path =
      fs::is_directory(resume, ignored) ? (fs::path(resume) / "last.safetensors").string() : resume;
  if (!fs::exists(path, ignored))
    throw Error(ErrorKind::DATA, "there is no checkpoint", path,
                "name a run directory or a .safetensors file");
  return path;
}

void CheckpointFolder::SaveLast(const std::vector<CheckpointTensor>& tensors,
                                const TrainingState& state, Backend& backend) const {
  SaveCheckpoint(Last(), tensors, state, backend);
}

void CheckpointFolder::KeepAsBest() const { LinkAtomically(Last(), folder_ + "/best.safetensors"); }

void CheckpointFolder::KeepAsEpoch(int64_t epoch) const {
  if (keep_ <= 0) return;
  char name[48];
  std::snprintf(name, sizeof(name), "epoch_%04lld.safetensors", static_cast<long long>(epoch));
  LinkAtomically(Last(), folder_ + "/" + name);
  std::vector<std::string> numbered;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
    const std::string file = entry.path().filename().string();
    if (file.rfind("epoch_", 0) == 0 && entry.path().extension() == ".safetensors")
      numbered.push_back(entry.path().string());
  }
  std::sort(numbered.begin(), numbered.end());
  for (size_t i = 0; i + keep_ < numbered.size(); ++i) fs::remove(numbered[i]);
}

}  // namespace encke
