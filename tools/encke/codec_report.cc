#include "tools/encke/codec_report.h"

#include <algorithm>
#include <sstream>

#include "engine/core/units.h"
#include "tools/encke/format.h"
#include "tools/encke/table.h"

namespace encke::cli {
namespace {

using nlohmann::ordered_json;

constexpr char kAll[] = "all";

double Gigabytes(int64_t bytes, double seconds) {
  return static_cast<double>(bytes) / seconds / 1e9;
}

void AddTimes(const CodecTimes& times, CodecTimes* sum) {
  sum->encode += times.encode;
  sum->decode += times.decode;
  sum->learn_and_encode += times.learn_and_encode;
}

void AddMeasurement(const CodecMeasurement& m, CodecTotal* total) {
  ++total->values;
  total->raw_bytes += m.raw_bytes;
  total->stored_bytes += m.stored_bytes;
  total->violations += m.errors.violations();
  total->entropy_bytes += m.entropy_bytes;
  total->greatest_error = std::max(total->greatest_error, m.errors.greatest);
  AddTimes(m.one_thread, &total->one_thread);
  if (!m.all_threads) return;
  if (!total->all_threads) total->all_threads.emplace();
  AddTimes(*m.all_threads, &*total->all_threads);
}

template <typename T>
void AddOnce(const T& item, std::vector<T>* list) {
  if (std::find(list->begin(), list->end(), item) == list->end()) list->push_back(item);
}

// Empty where nothing was measured.
std::string SpeedCell(int64_t bytes, const std::optional<CodecTimes>& times,
                      double CodecTimes::*seconds) {
  if (!times) return "";
  std::ostringstream cell;
  cell << Gigabytes(bytes, (*times).*seconds);
  return cell.str();
}

// What both tables show of sizes and speeds; `of` is a measurement or a total.
template <typename T>
std::vector<std::string> SizeAndSpeed(const T& of) {
  std::vector<std::string> cells = {FormatBytes(of.raw_bytes), FormatRatio(of.ratio())};
  const double over = static_cast<double>(of.stored_bytes) / of.entropy_bytes - 1;
  cells.push_back(of.entropy_bytes > 0 ? FormatSigned(100 * over, 0) + "%" : "-");
  std::vector<double> seconds = {of.one_thread.encode, of.one_thread.learn_and_encode,
                                 of.one_thread.decode};
  if (of.all_threads)
    seconds.insert(seconds.end(), {of.all_threads->encode, of.all_threads->decode});
  for (double s : seconds) cells.push_back(FormatFixed(Gigabytes(of.raw_bytes, s), 2));
  return cells;
}

// `rows`: measurements or totals, all with the same columns.
template <typename T>
void AddSizeAndSpeedColumns(const std::vector<T>& rows, Table* table) {
  for (const char* header : {"raw", "ratio", "to entropy", "enc GB/s", "learning", "dec GB/s"}) {
    table->AddColumn(header);
  }
  if (rows.empty() || !rows.front().all_threads) return;
  for (const char* header : {"enc, all", "dec, all"}) table->AddColumn(header);
}

void Append(const std::vector<std::string>& cells, std::vector<std::string>* row) {
  row->insert(row->end(), cells.begin(), cells.end());
}

ordered_json SpeedJson(int64_t bytes, const CodecTimes& times) {
  return {{"encode", Gigabytes(bytes, times.encode)},
          {"decode", Gigabytes(bytes, times.decode)},
          {"learn_and_encode", Gigabytes(bytes, times.learn_and_encode)}};
}

// `of` is a measurement or a total.
template <typename T>
void AddSpeeds(const T& of, ordered_json* json) {
  (*json)["gb_per_second"] = SpeedJson(of.raw_bytes, of.one_thread);
  if (of.all_threads) {
    (*json)["gb_per_second_all_threads"] = SpeedJson(of.raw_bytes, *of.all_threads);
  }
}

ordered_json ToJson(const CodecMeasurement& m) {
  const CodecErrors& errors = m.errors;
  ordered_json json = {{"layer", m.layer},
                       {"kind", m.kind},
                       {"shape_nhwc", {m.shape.n, m.shape.h, m.shape.w, m.shape.c}},
                       {"codec", m.codec},
                       {"bounded", m.bounded},
                       {"raw_bytes", m.raw_bytes},
                       {"stored_bytes", m.stored_bytes},
                       {"entropy_bytes", m.entropy_bytes},
                       {"ratio", m.ratio()}};
  AddSpeeds(m, &json);
  json.update({{"greatest_error_over_bound", errors.greatest},
               {"rms_error_over_bound", errors.root_mean_square},
               {"over_bound", errors.over_bound},
               {"mask_changed", errors.mask_changed},
               {"special_changed", errors.special_changed}});
  return json;
}

ordered_json ToJson(const CodecTotal& total) {
  ordered_json json = {{"codec", total.codec},
                       {"kind", total.kind},
                       {"values", total.values},
                       {"raw_bytes", total.raw_bytes},
                       {"stored_bytes", total.stored_bytes},
                       {"entropy_bytes", total.entropy_bytes},
                       {"ratio", total.ratio()}};
  AddSpeeds(total, &json);
  json["greatest_error_over_bound"] = total.greatest_error;
  json["violations"] = total.violations;
  return json;
}

}  // namespace

std::vector<CodecTotal> TotalsOf(const std::vector<CodecMeasurement>& measurements) {
  std::vector<std::string> codecs, kinds;
  for (const CodecMeasurement& m : measurements) {
    AddOnce(m.codec, &codecs);
    AddOnce(m.kind, &kinds);
  }
  kinds.emplace_back(kAll);
  std::vector<CodecTotal> totals;
  for (const std::string& codec : codecs) {
    for (const std::string& kind : kinds) {
      CodecTotal total;
      total.codec = codec;
      total.kind = kind;
      for (const CodecMeasurement& m : measurements) {
        if (m.codec == codec && (kind == kAll || m.kind == kind)) AddMeasurement(m, &total);
      }
      if (total.values > 0) totals.push_back(std::move(total));
    }
  }
  return totals;
}

std::string LayersText(const std::vector<CodecMeasurement>& measurements, int max_width) {
  Table table;
  table.AddColumn("layer", Table::Align::LEFT);
  table.AddColumn("kind", Table::Align::LEFT);
  table.AddColumn("codec", Table::Align::LEFT);
  AddSizeAndSpeedColumns(measurements, &table);
  table.AddColumn("max error");
  table.AddColumn("rms error");
  table.AddColumn("violations");
  for (size_t i = 0; i < measurements.size(); ++i) {
    const CodecMeasurement& m = measurements[i];
    if (i > 0 && m.layer != measurements[i - 1].layer) table.AddRule();
    std::vector<std::string> row = {m.layer, m.kind, m.codec};
    Append(SizeAndSpeed(m), &row);
    row.push_back(FormatSignificant(m.errors.greatest, 3));
    row.push_back(FormatSignificant(m.errors.root_mean_square, 3));
    row.push_back(FormatCount(m.errors.violations()) + (m.bounded ? "" : " outside"));
    table.AddRow(std::move(row));
  }
  return table.ToString(max_width);
}

std::string TotalsText(const std::vector<CodecTotal>& totals, int max_width) {
  Table table;
  table.AddColumn("codec", Table::Align::LEFT);
  table.AddColumn("kind", Table::Align::LEFT);
  table.AddColumn("values");
  AddSizeAndSpeedColumns(totals, &table);
  table.AddColumn("max error");
  table.AddColumn("violations");
  for (const CodecTotal& total : totals) {
    std::vector<std::string> row = {total.codec, total.kind, FormatCount(total.values)};
    Append(SizeAndSpeed(total), &row);
    row.push_back(FormatSignificant(total.greatest_error, 3));
    row.push_back(FormatCount(total.violations));
    table.AddRow(std::move(row));
    if (total.kind == kAll && &total != &totals.back()) table.AddRule();
  }
  return table.ToString(max_width);
}

ordered_json ToJson(const std::vector<CodecMeasurement>& measurements) {
  ordered_json layers = ordered_json::array(), totals = ordered_json::array();
  for (const CodecMeasurement& m : measurements) layers.push_back(ToJson(m));
  for (const CodecTotal& total : TotalsOf(measurements)) totals.push_back(ToJson(total));
  return {{"totals", totals}, {"layers", layers}};
}

std::string ToCsv(const std::vector<CodecMeasurement>& measurements) {
  std::ostringstream out;
  out << "layer,kind,codec,n,h,w,c,raw_bytes,stored_bytes,entropy_bytes,encode_gb_per_second,"
         "decode_gb_per_second,encode_gb_per_second_all_threads,decode_gb_per_second_all_threads,"
         "greatest_error_over_bound,rms_error_over_bound,over_bound,mask_changed,special_changed\n";
  for (const CodecMeasurement& m : measurements) {
    out << m.layer << ',' << m.kind << ',' << m.codec << ',' << m.shape.n << ',' << m.shape.h << ','
        << m.shape.w << ',' << m.shape.c << ',' << m.raw_bytes << ',' << m.stored_bytes << ','
        << m.entropy_bytes;
    for (const std::optional<CodecTimes>& times : {std::optional(m.one_thread), m.all_threads}) {
      out << ',' << SpeedCell(m.raw_bytes, times, &CodecTimes::encode) << ','
          << SpeedCell(m.raw_bytes, times, &CodecTimes::decode);
    }
    out << ',' << m.errors.greatest << ',' << m.errors.root_mean_square << ','
        << m.errors.over_bound << ',' << m.errors.mask_changed << ',' << m.errors.special_changed
        << '\n';
  }
  return out.str();
}

}  // namespace encke::cli
