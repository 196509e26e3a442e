// Space for encoded chunks in a file, so that they take no memory of the process.
//
// The file has no name from the moment of its creation, so that nothing is left of it however the
// process ends. It grows in steps that the file system reserves beforehand: a full disk is an Error
// at that point, not a failed write later. What is freed is used again, the lowest place first.
// Chunks are written and read with pwrite and pread rather than through a mapping, whose pages
// would count as the process's own until they are given back, and where a failing disk is a signal
// instead of an Error.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "compression/chunk_space.h"

namespace encke {

class OffloadFile : public ChunkSpace {
 public:
  // In this folder; "" = $TMPDIR, or /tmp where that is not set. A folder on a tmpfs is legal, but
  // costs memory. Error(DATA) where no file can be made.
  explicit OffloadFile(const std::string& folder);
  ~OffloadFile() override;
  OffloadFile(const OffloadFile&) = delete;
  OffloadFile& operator=(const OffloadFile&) = delete;

  // Never nothing. Error(MEMORY), which names folder and bytes, when the disk is full; Error(DATA)
  // when it fails.
  std::optional<Piece> Store(const uint8_t* data, int64_t size) override;
  // Always copies. Error(DATA) when the disk fails. What it gives is not verified: that is for the
  // chunk's checksum.
  const uint8_t* Read(const Piece& piece, uint8_t* scratch) const override;
  void Free(const Piece& piece) override;
  int64_t held_bytes() const override;

 private:
  int64_t Place(int64_t size);  // an offset; REQUIRES: mutex_ held, as below
  void Grow(int64_t least);     // until `least` bytes are free at the end
  bool Reserve(int64_t bytes);  // at the end; false, with errno set, where that fails
  void AddFree(int64_t offset, int64_t bytes);

  const std::string folder_;
  int descriptor_ = -1;
  mutable std::mutex mutex_;
  std::map<int64_t, int64_t> free_;  // bytes by offset; no two touch
  int64_t bytes_ = 0;                // of the file
};

}  // namespace encke
