#include "compression/slab_pool.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/core/error.h"

namespace encke {
namespace {

constexpr int64_t kLeastSlab = 256 << 10;
constexpr int64_t kGreatestSlab = 8 << 20;
constexpr int64_t kGranule = 64 << 10;
constexpr int64_t kGrowth = 32;     // a new slab is about this part of what is held: bounded waste
constexpr int64_t kFull = 1 << 10;  // with less room than this a slab is not looked at again
constexpr int kIdleLimit = 2;
constexpr uint32_t kLent = 0xffffffff;  // in place of a slab's index

}  // namespace

void SlabPool::Borrow(std::shared_ptr<Buffer> space) {
  std::lock_guard<std::mutex> lock(mutex_);
  lent_.Reset(std::move(space));
}

std::optional<ChunkSpace::Piece> SlabPool::Store(const uint8_t* data, int64_t size) {
  return Store(data, size, -1);
}

std::optional<ChunkSpace::Piece> SlabPool::Store(const uint8_t* data, int64_t size, int64_t floor) {
  std::optional<Piece> piece;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    piece = Place(size, floor);
    if (piece.has_value()) {
      allocator_.ledger().Move(MemoryCategory::UNUSED, MemoryCategory::SAVED, size);
      ++live_;
    }
  }
  // Outside of the lock: nobody else has this place, and slabs do not move.
  if (piece.has_value()) std::memcpy(reinterpret_cast<uint8_t*>(piece->place), data, size);
  return piece;
}

const uint8_t* SlabPool::Read(const Piece& piece, uint8_t*) const {
  return reinterpret_cast<const uint8_t*>(piece.place);
}

bool SlabPool::Fits(const Slab& slab, int64_t size) const {
  return slab.buffer != nullptr && slab.buffer->bytes() - slab.top >= size;
}

std::optional<ChunkSpace::Piece> SlabPool::Place(int64_t size, int64_t floor) {
  if (const auto place = lent_.Take(size, floor)) {
    return Piece{reinterpret_cast<uint64_t>(place->data), static_cast<uint32_t>(size), kLent,
                 place->index};
  }
  return PlaceInSlab(size);
}

std::optional<ChunkSpace::Piece> SlabPool::PlaceInSlab(int64_t size) {
  while (first_open_ < slabs_.size() && !Fits(slabs_[first_open_], kFull)) ++first_open_;
  size_t index = first_open_;
  while (index < slabs_.size() && !Fits(slabs_[index], size)) ++index;
  if (index == slabs_.size()) {
    const std::optional<size_t> added = AddSlab(size);
    if (!added.has_value()) return std::nullopt;
    index = *added;
  }
  Slab& slab = slabs_[index];
  Piece piece;
  piece.place = reinterpret_cast<uint64_t>(slab.buffer->data()) + slab.top;
  piece.size = static_cast<uint32_t>(size);
  piece.slab = static_cast<uint32_t>(index);
  piece.index = static_cast<uint32_t>(slab.extents.size());
  slab.extents.push_back({slab.top, true});
  slab.top += size;
  slab.used = true;
  return piece;
}

std::optional<size_t> SlabPool::AddSlab(int64_t least) {
  int64_t bytes =
      RoundUp(std::max(std::clamp(held_ / kGrowth, kLeastSlab, kGreatestSlab), least), kGranule);
  if (limit_ > 0) bytes = std::max(std::min(bytes, limit_ - held_), least);
  if (limit_ > 0 && held_ + bytes > limit_) return std::nullopt;
  const auto gap = std::find_if(slabs_.begin(), slabs_.end(),
                                [](const Slab& slab) { return slab.buffer == nullptr; });
  const size_t index = gap - slabs_.begin();
  Slab slab;
  slab.buffer = allocator_.Allocate(bytes, MemoryCategory::UNUSED);
  if (gap == slabs_.end()) {
    slabs_.push_back(std::move(slab));
  } else {
    *gap = std::move(slab);
  }
  held_ += bytes;
  first_open_ = std::min(first_open_, index);
  return index;
}

void SlabPool::Free(const Piece& piece) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (piece.slab == kLent) {
    lent_.Free(piece.index);
  } else {
    FreeInSlab(piece);
  }
  allocator_.ledger().Move(MemoryCategory::SAVED, MemoryCategory::UNUSED, piece.size);
  if (--live_ == 0) Empty();
}

void SlabPool::FreeInSlab(const Piece& piece) {
  Slab& slab = slabs_[piece.slab];
  ENCKE_CHECK(piece.index < slab.extents.size() && slab.extents[piece.index].live, piece.index);
  slab.extents[piece.index].live = false;
  while (!slab.extents.empty() && !slab.extents.back().live) {
    slab.top = slab.extents.back().begin;
    slab.extents.pop_back();
  }
  first_open_ = std::min<size_t>(first_open_, piece.slab);
}

void SlabPool::Empty() {
  for (Slab& slab : slabs_) {
    slab.idle = slab.used ? 0 : slab.idle + 1;
    slab.used = false;
    if (slab.buffer != nullptr && slab.idle >= kIdleLimit) {
      held_ -= slab.buffer->bytes();
      slab = Slab();
    }
  }
  while (!slabs_.empty() && slabs_.back().buffer == nullptr) slabs_.pop_back();
  first_open_ = 0;
}

int64_t SlabPool::held_bytes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return held_;
}

}  // namespace encke
