#include "tools/encke/summary_table.h"

#include "engine/core/units.h"
#include "engine/graph/plan_choice.h"
#include "tools/encke/format.h"
#include "tools/encke/table.h"

namespace encke::cli {
namespace {

using nlohmann::ordered_json;

std::string DescribeBound(const SavedValue& saved) {
  if (saved.exact) return "lossless";
  if (!saved.gradient_consumers.empty()) return "bound from dW";
  if (saved.norm_consumer >= 0 || saved.sides) return "bound from channel std";
  return saved.rms ? "bound from rms" : "lossless";
}

std::string Describe(const SavedValue& saved, const PlanOptions& options) {
  switch (saved.keep) {
    case Keep::RAW:
      return NameOf(options.compute);
    case Keep::CODEC:
      return StrCat(saved.adaptive ? "auto" : saved.codec, ", ", DescribeBound(saved),
                    saved.mask ? ", mask" : "", saved.tier == Tier::OFFLOADED ? ", offloaded" : "");
    case Keep::MASK:
      return "1-bit mask";
    case Keep::IMAGE:
      return "8-bit image";
    case Keep::REBUILD:
      return "made again";
    case Keep::DERIVE:
      return "derived from the block's output";
  }
  return "";
}

void Append(const std::string& text, std::string* list) {
  *list += (list->empty() ? "" : " + ") + text;
}

LayerSummary SummarizeNode(const Graph& graph, const Node& node, int64_t batch) {
  LayerSummary layer;
  layer.name = node.name;
  layer.type = node.layer->type();
  if (!node.outputs.empty()) layer.output = graph.values[node.outputs[0]].shape;
  layer.macs = node.layer->Macs() / batch;
  for (const ParameterSpec& parameter : node.layer->Parameters()) {
    if (parameter.trained()) layer.parameters += parameter.shape.elements();
  }
  return layer;
}

void AddState(const SavedState& saved, const std::string& name, LayerSummary* layer) {
  layer->raw_saved_bytes += saved.raw_bytes;
  layer->predicted_saved_bytes += saved.predicted_bytes;
  Append(saved.bits > 0 ? StrCat(saved.bits, "-bit ", name) : name, &layer->saved);
}

void AddSaved(const SavedValue& saved, const PlanOptions& options, LayerSummary* layer) {
  layer->raw_saved_bytes += saved.raw_bytes;
  layer->predicted_saved_bytes += saved.predicted_bytes;
  Append(Describe(saved, options), &layer->saved);
}

ordered_json ToJson(const LayerSummary& layer) {
  const Shape& s = layer.output;
  return {{"name", layer.name},
          {"type", layer.type},
          {"output_shape", {s.n, s.c, s.h, s.w}},
          {"parameters", layer.parameters},
          {"macs", layer.macs},
          {"saved", layer.saved},
          {"raw_saved_bytes", layer.raw_saved_bytes},
          {"predicted_saved_bytes", layer.predicted_saved_bytes}};
}

std::string BytesOrBlank(int64_t bytes) { return bytes > 0 ? FormatBytes(bytes) : ""; }
std::string CountOrBlank(int64_t count) { return count > 0 ? FormatCount(count) : ""; }

std::string LayerTable(const NetworkSummary& summary, int width) {
  Table table;
  table.AddColumn("layer", Table::Align::LEFT);
  table.AddColumn("type", Table::Align::LEFT);
  table.AddColumn("output", Table::Align::LEFT);
  table.AddColumn("parameters");
  table.AddColumn("MACs");
  table.AddColumn("saved", Table::Align::LEFT);
  table.AddColumn("raw");
  if (summary.compress) table.AddColumn("kept");
  for (const LayerSummary& layer : summary.layers) {
    std::vector<std::string> row = {layer.name,
                                    layer.type,
                                    layer.output.ToString(),
                                    CountOrBlank(layer.parameters),
                                    layer.macs > 0 ? FormatSi(static_cast<double>(layer.macs)) : "",
                                    layer.saved,
                                    BytesOrBlank(layer.raw_saved_bytes)};
    if (summary.compress) row.push_back(BytesOrBlank(layer.predicted_saved_bytes));
    table.AddRow(row);
  }
  table.AddRule();
  std::vector<std::string> total = {"total",
                                    "",
                                    "",
                                    FormatCount(summary.parameters),
                                    FormatSi(static_cast<double>(summary.macs)),
                                    "",
                                    FormatBytes(summary.raw_saved_bytes)};
  if (summary.compress) total.push_back(FormatBytes(summary.predicted_saved_bytes));
  table.AddRow(total);
  return table.ToString(width);
}

std::string PeakTable(const NetworkSummary& summary) {
  Table table;
  table.AddColumn("predicted peak", Table::Align::LEFT);
  table.AddColumn("bytes");
  for (int i = 0; i < kMemoryCategories; ++i) {
    const auto category = static_cast<MemoryCategory>(i);
    table.AddRow({NameOf(category), FormatBytes(summary.peak.use.of(category))});
  }
  table.AddRule();
  table.AddRow({"total", FormatBytes(summary.peak.use.total())});
  if (summary.predicted_offloaded_bytes > 0) {
    table.AddRow({"offloaded", FormatBytes(summary.predicted_offloaded_bytes)});
  }
  return table.ToString();
}

// What a memory limit did not admit.
std::string TooLarge(const NetworkSummary& summary) {
  std::string text;
  for (const std::string& rejected : summary.rejected) text += "too large: " + rejected + "\n";
  return text;
}

}  // namespace

NetworkSummary Summarize(const Graph& graph, const Plan& plan) {
  NetworkSummary summary;
  summary.name = graph.name;
  summary.batch = plan.batch;
  summary.compress = plan.options.compress;
  summary.parameters = graph.TrainedParameters();
  summary.macs = graph.Macs() / plan.batch;
  summary.raw_saved_bytes = plan.raw_saved_bytes();
  summary.predicted_saved_bytes = plan.predicted_saved_bytes();
  summary.predicted_offloaded_bytes = plan.predicted_offloaded_bytes();
  summary.peak = plan.peak;
  summary.choice = DescribeChoice(plan);
  summary.rejected = plan.rejected;
  LayerSummary input;
  input.name = input.type = "input";
  input.output = graph.values[0].shape;
  summary.layers.push_back(input);
  for (const Node& node : graph.nodes) {
    summary.layers.push_back(SummarizeNode(graph, node, plan.batch));
  }
  for (const SavedValue& saved : plan.saved) {
    const auto layer = static_cast<size_t>(graph.values[saved.value].producer + 1);
    AddSaved(saved, plan.options, &summary.layers[layer]);
  }
  for (const SavedState& saved : plan.states) {
    const Node& node = graph.nodes[saved.node];
    AddState(saved, node.layer->States()[saved.index].name, &summary.layers[saved.node + 1]);
  }
  return summary;
}

ordered_json MemoryToJson(const MemoryUse& use) {
  ordered_json json;
  for (int i = 0; i < kMemoryCategories; ++i) {
    const auto category = static_cast<MemoryCategory>(i);
    json[NameOf(category)] = use.of(category);
  }
  json["total"] = use.total();
  return json;
}

ordered_json ToJson(const NetworkSummary& summary) {
  ordered_json layers = ordered_json::array();
  for (const LayerSummary& layer : summary.layers) layers.push_back(ToJson(layer));
  return {{"name", summary.name},
          {"batch", summary.batch},
          {"mode", summary.compress ? "encke" : "raw"},
          {"parameters", summary.parameters},
          {"macs", summary.macs},
          {"raw_saved_bytes", summary.raw_saved_bytes},
          {"predicted_saved_bytes", summary.predicted_saved_bytes},
          {"predicted_offloaded_bytes", summary.predicted_offloaded_bytes},
          {"predicted_peak_bytes", MemoryToJson(summary.peak.use)},
          {"peak_at", summary.peak.where},
          {"plan", summary.choice},
          {"too_large", summary.rejected},
          {"layers", layers}};
}

std::string ToText(const NetworkSummary& summary, int width) {
  return StrCat(
      summary.name, ", batch ", summary.batch, ", ",
      summary.compress ? "encke: saved values compressed" : "raw: saved values as they are", "\n\n",
      LayerTable(summary, width), "\n", PeakTable(summary), "at: ", summary.peak.where,
      "\nwith: ", summary.choice, "\n", TooLarge(summary),
      "\nMACs are those of forward for one image. ",
      summary.compress ? "\"kept\" is an estimate until training has measured it.\n" : "\n");
}

}  // namespace encke::cli
