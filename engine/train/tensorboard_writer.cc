#include "engine/train/tensorboard_writer.h"

#include <chrono>
#include <cmath>
#include <filesystem>

#include "engine/core/error.h"
#include "engine/train/tensorboard.pb.h"
#include "engine/train/tensorboard_record.h"

namespace encke {
namespace {

double SecondsSince1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

// TensorBoard reads a folder's files in the order of their names.
std::string NewPath(const std::string& folder) {
  const std::string base =
      StrCat(folder, "/events.out.tfevents.", static_cast<int64_t>(SecondsSince1970()), ".encke");
  std::string path = base;
  for (int number = 2; std::filesystem::exists(path); ++number) path = StrCat(base, ".", number);
  return path;
}

tensorboard::Event NewEvent(int64_t iteration) {
  tensorboard::Event event;
  event.set_wall_time(SecondsSince1970());
  event.set_step(iteration);
  return event;
}

}  // namespace

TensorBoardWriter::TensorBoardWriter(const std::string& folder, int64_t resumed_at)
    : path_(NewPath(folder)), file_(path_, std::ios::binary) {
  tensorboard::Event version = NewEvent(0);
  version.set_file_version("brain.Event:2");
  Write(version.SerializeAsString());
  if (resumed_at <= 0) return;
  tensorboard::Event start = NewEvent(resumed_at + 1);
  start.mutable_session_log()->set_status(tensorboard::SessionLog::START);
  Write(start.SerializeAsString());
}

void TensorBoardWriter::Add(int64_t iteration, const std::vector<Scalar>& scalars) {
  tensorboard::Event event = NewEvent(iteration);
  for (const Scalar& scalar : scalars) {
    if (!std::isfinite(scalar.value)) continue;
    tensorboard::Summary::Value* value = event.mutable_summary()->add_value();
    value->set_tag(scalar.tag);
    value->set_simple_value(static_cast<float>(scalar.value));
  }
  if (event.has_summary()) Write(event.SerializeAsString());
}

void TensorBoardWriter::Write(const std::string& event) {
  file_ << FrameRecord(event) << std::flush;
  if (!file_) throw Error(ErrorKind::DATA, "cannot write the file", path_, "check the free space");
}

}  // namespace encke
