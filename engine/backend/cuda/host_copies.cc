#include "engine/backend/cuda/host_copies.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/core/memory.h"

namespace encke::cuda {
namespace {

constexpr int64_t kPage = 4096;
constexpr int64_t kSmall = 1 << 20;  // bytes; what is larger is not worth a second copy
constexpr size_t kMostLeaving = 8;

}  // namespace

class HostCopies::Copy : public HostCopy {
 public:
  Copy(HostCopies* copies, std::unique_ptr<Place> place)
      : copies_(copies), place_(std::move(place)) {}
  // It may be under way still: what the device puts into the place next is behind it in the same
  // stream, and the host waits (FromHost).
  ~Copy() override { copies_->free_.push_back(std::move(place_)); }

  const void* Wait() override {
    place_->arrived.Wait();
    return place_->memory.data();
  }

 private:
  HostCopies* copies_;
  std::unique_ptr<Place> place_;
};

std::unique_ptr<HostCopy> HostCopies::Start(const std::vector<Tensor>& tensors) {
  std::vector<Piece> pieces;
  for (const Tensor& tensor : tensors) pieces.push_back({tensor.raw(), tensor.bytes()});
  return StartPieces(pieces);
}

std::unique_ptr<HostCopy> HostCopies::StartBytes(const void* from, int64_t bytes) {
  return StartPieces({{from, bytes}});
}

// One behind the other.
std::unique_ptr<HostCopy> HostCopies::StartPieces(const std::vector<Piece>& pieces) {
  int64_t bytes = 0;
  for (const Piece& piece : pieces) bytes += piece.bytes;
  std::unique_ptr<Place> place = TakePlace(bytes);
  uint8_t* to = place->memory.data();
  for (const Piece& piece : pieces) {
    ENCKE_CODEC_CUDA(cudaMemcpyAsync(to, piece.from, piece.bytes, cudaMemcpyDeviceToHost, stream_));
    to += piece.bytes;
  }
  place->arrived.Record(stream_);
  return std::make_unique<Copy>(this, std::move(place));
}

void HostCopies::ToHost(const Tensor& tensor, void* to) {
  if (tensor.bytes() <= kSmall) {
    const std::unique_ptr<HostCopy> copy = Start({tensor});
    std::memcpy(to, copy->Wait(), tensor.bytes());
    return;
  }
  ENCKE_CODEC_CUDA(
      cudaMemcpyAsync(to, tensor.raw(), tensor.bytes(), cudaMemcpyDeviceToHost, stream_));
  ENCKE_CODEC_CUDA(cudaStreamSynchronize(stream_));
}

void HostCopies::FromHost(const void* from, const Tensor& tensor) {
  if (tensor.bytes() > kSmall) {
    ENCKE_CODEC_CUDA(
        cudaMemcpyAsync(tensor.raw(), from, tensor.bytes(), cudaMemcpyHostToDevice, stream_));
    ENCKE_CODEC_CUDA(cudaStreamSynchronize(stream_));
    return;
  }
  TakeBack();
  std::unique_ptr<Place> place = TakePlace(tensor.bytes());
  if (!place->arrived.Done()) place->arrived.Wait();
  std::memcpy(place->memory.data(), from, tensor.bytes());
  ENCKE_CODEC_CUDA(cudaMemcpyAsync(tensor.raw(), place->memory.data(), tensor.bytes(),
                                   cudaMemcpyHostToDevice, stream_));
  place->arrived.Record(stream_);
  leaving_.push_back(std::move(place));
}

// Those that the device has read.
void HostCopies::TakeBack() {
  if (leaving_.size() == kMostLeaving) leaving_.front()->arrived.Wait();
  while (!leaving_.empty() && leaving_.front()->arrived.Done()) {
    free_.push_back(std::move(leaving_.front()));
    leaving_.pop_front();
  }
}

// The smallest that is free and large enough.
std::unique_ptr<HostCopies::Place> HostCopies::TakePlace(int64_t bytes) {
  auto found = free_.end();
  for (auto i = free_.begin(); i != free_.end(); ++i) {
    const bool fits = (*i)->bytes >= bytes;
    if (fits && (found == free_.end() || (*i)->bytes < (*found)->bytes)) found = i;
  }
  if (found == free_.end()) return std::make_unique<Place>(RoundUp(bytes, kPage));
  std::unique_ptr<Place> place = std::move(*found);
  free_.erase(found);
  return place;
}

}  // namespace encke::cuda
