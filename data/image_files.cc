#include "data/image_files.h"

#include <utility>

#include "data/image_codec.h"

namespace encke {

ImageFiles::ImageFiles(std::unique_ptr<FileSet> files, std::vector<ImageRecord> records,
                       int classes, std::vector<std::string> class_names, int64_t channels)
    : files_(std::move(files)),
      records_(std::move(records)),
      classes_(classes),
      class_names_(std::move(class_names)),
      channels_(channels) {}

Image ImageFiles::Read(int64_t index) const {
  const size_t file = records_[static_cast<size_t>(index)].file;
  return DecodeImage(files_->Read(file), channels_, files_->Place(file));
}

}  // namespace encke
