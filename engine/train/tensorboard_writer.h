// Scalars over iterations, in the files that TensorBoard opens (`tensorboard --logdir runs`).
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

namespace encke {

struct Scalar {
  std::string tag;  // "group/name"; TensorBoard shows a group's charts together
  double value = 0;
};

// Used by one thread.
class TensorBoardWriter {
 public:
  // Starts a new file events.out.tfevents.<seconds>.encke in `folder`. With `resumed_at` > 0 older
  // files of the folder are taken to go on to that iteration; what they say of later ones is void.
  // Error(DATA) when the file cannot be written.
  TensorBoardWriter(const std::string& folder, int64_t resumed_at);

  // Others can see them at once. Values that are not finite are left out.
  void Add(int64_t iteration, const std::vector<Scalar>& scalars);

  const std::string& path() const { return path_; }

 private:
  void Write(const std::string& event);

  std::string path_;
  std::ofstream file_;
};

}  // namespace encke
